//! /admin/users: pages, and the search by the beginning of an address.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::administration::Admin;
use crate::support::on_every_backend;
use crate::support::postgres::Postgres;
use crate::support::signet::{Backend, Signet};

on_every_backend!(
    pages_are_complete_and_in_order,
    what_is_added_meanwhile_moves_nothing,
    addresses_are_found_by_their_beginning,
    users_are_found_by_role_and_state,
);

fn emails(users: &[Value]) -> Vec<String> {
    users.iter().map(|user| user["email"].as_str().expect("an address").to_owned()).collect()
}

/// Adds users without passwords, which cost nothing.
async fn add(admin: &Admin, addresses: impl IntoIterator<Item = impl AsRef<str>>) {
    for address in addresses {
        let body = json!({ "email": address.as_ref() });
        admin.send("POST", "/admin/users", body).await.expect(201);
    }
}

async fn found(admin: &Admin, query: &[(&str, &str)]) -> Vec<String> {
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(query).finish();
    let page = admin.get(&format!("/admin/users?{query}")).await.expect(200).json();
    assert_eq!(page["next_cursor"], Value::Null, "{page}");
    emails(page["items"].as_array().expect("items"))
}

async fn pages_are_complete_and_in_order(backend: Backend) {
    let admin = Admin::start(backend).await;
    add(&admin, (0..25).map(|n| format!("many-{:02}@example.com", n * 7 % 25))).await;
    let expected: Vec<_> = (0..25).map(|n| format!("many-{n:02}@example.com")).collect();
    for limit in [1, 4, 5, 24, 25, 26, 200] {
        let path = format!("/admin/users?email_prefix=many-&limit={limit}");
        let mut pages = 0;
        let items = admin
            .items(&path, async |page| {
                assert!(page.len() <= limit && !page.is_empty(), "{limit}: {}", page.len());
                pages += 1;
            })
            .await;
        assert_eq!(emails(&items), expected, "{limit}");
        assert_eq!(pages, 25_usize.div_ceil(limit), "{limit}");
    }
    let all = emails(&admin.items("/admin/users?limit=3", async |_| {}).await);
    let sorted: BTreeSet<_> = all.iter().cloned().collect();
    assert_eq!(sorted.into_iter().collect::<Vec<_>>(), all);
    assert_eq!(all.len(), 27, "the two administrators as well");
    assert!(found(&admin, &[("email_prefix", "nobody-")]).await.is_empty());
}

async fn what_is_added_meanwhile_moves_nothing(backend: Backend) {
    let admin = Admin::start(backend).await;
    add(&admin, (0..20).map(|n| format!("m{n:02}-x@example.com"))).await;
    let mut round = 0;
    let items = admin
        .items("/admin/users?limit=6&email_prefix=m", async |page| {
            // Before the place that was reached, after it, and out of what was shown.
            add(&admin, [format!("m00-{round}@example.com"), format!("m99-{round}@example.com")])
                .await;
            let id = page[0]["id"].as_str().expect("an id");
            let path = format!("/admin/users/{id}");
            admin.change("DELETE", &path, "*", Value::Null).await.expect(204);
            round += 1;
        })
        .await;
    let shown = emails(&items);
    let distinct: BTreeSet<_> = shown.iter().collect();
    assert_eq!(distinct.len(), shown.len(), "something twice: {shown:?}");
    for n in 0..20 {
        let email = format!("m{n:02}-x@example.com");
        assert!(shown.contains(&email), "{email} was left out: {shown:?}");
    }
}

async fn addresses_are_found_by_their_beginning(backend: Backend) {
    let admin = Admin::start(backend).await;
    let addresses = [
        "ann@example.com",
        "Ann.Long@example.com",
        "anna@example.com",
        "anno@example.com",
        "a%b@example.com",
        "a_b@example.com",
        "axb@example.com",
        "zo\u{eb}@example.com",
        "Zo\u{cb}.K@example.com",
        "zoe@example.com",
        "\u{4e2d}\u{6587}@example.com",
        "\u{4e2d}@example.com",
        "a-b@example.com",
        "ab@example.com",
    ];
    add(&admin, addresses).await;
    for (prefix, expected) in [
        (
            "ann",
            &["Ann.Long@example.com", "ann@example.com", "anna@example.com", "anno@example.com"][..],
        ),
        ("ANN@", &["ann@example.com"]),
        (" Ann.l", &["Ann.Long@example.com"]),
        ("ann@example.com", &["ann@example.com"]),
        ("ann@example.com.", &[]),
        ("a%", &["a%b@example.com"]),
        ("a_", &["a_b@example.com"]),
        ("%", &[]),
        ("_", &[]),
        ("a-b", &["a-b@example.com"]),
        ("zo\u{eb}", &["Zo\u{cb}.K@example.com", "zo\u{eb}@example.com"]),
        // As another keyboard composes it.
        ("ZOE\u{308}@", &["zo\u{eb}@example.com"]),
        ("zoe", &["zoe@example.com"]),
        ("\u{4e2d}", &["\u{4e2d}@example.com", "\u{4e2d}\u{6587}@example.com"]),
        ("\u{1f600}", &[]),
        ("\u{10ffff}", &[]),
        ("'; DROP TABLE users; --", &[]),
        ("\\", &[]),
    ] {
        assert_eq!(found(&admin, &[("email_prefix", prefix)]).await, expected, "{prefix:?}");
    }
    assert_eq!(found(&admin, &[("email_prefix", "")]).await.len(), addresses.len() + 2);
}

async fn users_are_found_by_role_and_state(backend: Backend) {
    let admin = Admin::start(backend).await;
    for (email, roles, disabled) in [
        ("a@example.com", json!(["staff"]), false),
        ("b@example.com", json!(["staff_2", "x"]), true),
        ("c@example.com", json!(["x", "staff", "y"]), true),
        ("d@example.com", json!([]), false),
    ] {
        let body = json!({ "email": email, "roles": roles, "disabled": disabled });
        admin.send("POST", "/admin/users", body).await.expect(201);
    }
    for (query, expected) in [
        (&[("role", "staff")][..], &["a", "c"][..]),
        (&[("role", "staff_2")], &["b"]),
        // No pattern, but a name.
        (&[("role", "staff__")], &[]),
        (&[("role", "taff")], &[]),
        (&[("disabled", "true")], &["b", "c"]),
        (&[("disabled", "true"), ("role", "staff")], &["c"]),
        (&[("disabled", "false"), ("role", "staff")], &["a"]),
        (&[("disabled", "true"), ("email_prefix", "b")], &["b"]),
        (&[("disabled", "false"), ("email_prefix", "d@")], &["d"]),
    ] {
        let expected: Vec<_> = expected.iter().map(|name| format!("{name}@example.com")).collect();
        assert_eq!(found(&admin, query).await, expected, "{query:?}");
    }
}

#[tokio::test]
async fn bad_parameters_are_named() {
    let admin = Admin::start(Backend::PostgresSql).await;
    admin.add_user("a@example.com", json!({})).await;
    let page = admin.get("/admin/users?limit=1").await.expect(200).json();
    let cursor = page["next_cursor"].as_str().expect("more").to_owned();
    for (query, field) in [
        ("limit=0", "limit"),
        ("limit=201", "limit"),
        ("limit=many", "limit"),
        ("cursor=x", "cursor"),
        ("cursor=%00", "query"),
        ("cursor=bm90LW1pbmU", "cursor"),
        ("email_prefix=%00", "query"),
        ("email_prefix=%ff", "query"),
        ("email_prefix=a&email_prefix=b", "query"),
        ("email_prefx=a", "query"),
        ("disabled=maybe", "disabled"),
        ("role=No%20Role", "role"),
    ] {
        let answer = admin.get(&format!("/admin/users?{query}")).await.expect_problem(400);
        assert!(answer.problem_fields().contains(&field.to_owned()), "{query}: {answer:?}");
    }
    let long = format!("/admin/users?email_prefix={}", "a".repeat(3000));
    admin.get(&long).await.expect_problem(400);
    // A cursor of one list is none of another.
    admin.get(&format!("/admin/clients?cursor={cursor}")).await.expect_problem(400);
    admin.get(&format!("/admin/audit?cursor={cursor}")).await.expect_problem(400);
}

/// A locale in which addresses sort otherwise than their code points do.
#[tokio::test]
async fn the_locale_of_the_database_does_not_matter() {
    let postgres = Postgres::shared();
    let database = "locale_of_people";
    let create = format!(
        "CREATE DATABASE {database} TEMPLATE template0 ENCODING 'UTF8' \
         LOCALE_PROVIDER icu ICU_LOCALE 'en-US' LC_COLLATE 'C' LC_CTYPE 'C'"
    );
    postgres.sql(&postgres.url(), &create);
    let url = postgres.url().replace("/postgres", &format!("/{database}"));
    let sorts_otherwise = "SELECT '_' < '-' AND 'a' < 'B'";
    assert_eq!(postgres.sql(&url, sorts_otherwise), "t", "it is the locale this test is about");
    let signet = Signet::builder().postgres(&url).start();
    let insert = "INSERT INTO users (id, email, email_key, password_hash, roles, session_epoch, \
                  created_at, updated_at) \
                  SELECT gen_random_uuid()::text, key, key, '', '', 0, 0, 0 FROM (SELECT n, \
                  substr('a-._+b', n % 6 + 1, 1) || md5(n::text) || '@example.com' AS key \
                  FROM generate_series(1, 20000) n) keys";
    postgres.sql(&url, insert);
    postgres.sql(&url, "ANALYZE users");
    let plan = postgres.sql(
        &url,
        "EXPLAIN SELECT id FROM users WHERE email_key >= 'a0' AND email_key < 'a1' \
         ORDER BY email_key LIMIT 50",
    );
    assert!(plan.contains("Index") && !plan.contains("Sort"), "{plan}");
    let list = signet.cli_json(&["users", "list"], "");
    let keys: Vec<_> = emails(list.as_array().expect("a list"));
    assert_eq!(keys.len(), 20_001);
    assert!(keys.is_sorted(), "by code points");
}

#[tokio::test]
async fn what_few_of_many_have_is_found_part_by_part() {
    let postgres = Postgres::shared();
    let url = postgres.fresh_database();
    let admin = Admin::of(Signet::builder().postgres(&url).start()).await;
    let insert = "INSERT INTO users (id, email, email_key, password_hash, roles, session_epoch, \
                  created_at, updated_at) SELECT gen_random_uuid()::text, key, key, '', \
                  CASE WHEN n IN (3, 14000, 14001) THEN 'user rare' ELSE 'user' END, 0, 0, 0 \
                  FROM (SELECT n, 'u' || lpad(n::text, 5, '0') || '@example.com' AS key \
                  FROM generate_series(1, 15000) n) keys";
    postgres.sql(&url, insert);
    postgres.sql(&url, "ANALYZE users");
    let mut lengths = Vec::new();
    let rare =
        admin.items("/admin/users?role=rare&limit=2", async |page| lengths.push(page.len())).await;
    let expected = ["u00003@example.com", "u14000@example.com", "u14001@example.com"];
    assert_eq!(emails(&rare), expected);
    assert!(lengths.contains(&0), "none is looked for at any length: {lengths:?}");
    // The few who administer are found without looking at the others.
    let plan = postgres.sql(
        &url,
        "EXPLAIN UPDATE users SET version = version \
         WHERE ' ' || roles || ' ' LIKE '% admin %' AND disabled_at IS NULL",
    );
    assert!(plan.contains("users_administrators"), "{plan}");
    let first = admin.get("/admin/users?email_prefix=admin@").await.expect(200).json();
    let path = format!("/admin/users/{}", first["items"][0]["id"].as_str().expect("an id"));
    admin.patch(&path, json!({ "roles": [] })).await.expect(200);
}
