//! users import: bounds that every user has, and what the lines of a file take from each other.

use serde_json::{Value, json};

use super::assert_fails;
use super::import::{ID, everybody, lines, password_hash, refused, write};
use crate::support::client::{Client, PASSWORD};
use crate::support::on_every_backend;
use crate::support::signet::{Backend, Signet};

fn find<'a>(users: &'a [Value], email: &str) -> Option<&'a Value> {
    users.iter().find(|user| user["email"] == email)
}

#[tokio::test]
async fn what_no_user_may_have_does_not_come_in() {
    let signet = Signet::builder().start();
    let hash = password_hash();
    let names = |count: usize| (0..count).map(|n| format!("role-{n}")).collect::<Vec<_>>();
    let user = |email: &str, roles: usize, metadata: Value| json!({"email": email, "password_hash": hash, "roles": names(roles), "metadata": metadata});
    let large = json!({"a": "x".repeat(16 * 1024)});
    let file = [
        user("most@example.com", 32, json!({"number": 9_007_199_254_740_991_u64})),
        user("roles@example.com", 33, json!({})),
        user("large@example.com", 0, large.clone()),
        user("number@example.com", 0, json!({"number": 9_007_199_254_740_992_u64})),
    ];
    write(&signet, "users.jsonl", lines(&file));
    let (sum, told) = refused(&signet, &["users.jsonl"]);
    assert_eq!((&sum["imported"], &sum["refused"]), (&json!(1), &json!(3)), "{told}");
    for part in [
        "line 2: roles@example.com \u{2014} a user has at most 32 roles",
        "line 3: large@example.com \u{2014} metadata must have at most 16 KiB as JSON",
        "line 4: number@example.com \u{2014} metadata must have numbers",
    ] {
        assert!(told.lines().any(|line| line.starts_with(part)), "{part}: {told}");
    }
    Client::new(signet.base()).login("most@example.com", PASSWORD).await;

    let quoted = large.to_string().replace('"', "\"\"");
    let table = format!(
        "email,password_hash,roles,metadata\nroles@example.com,,{},\nlarge@example.com,,,\"{quoted}\"\n",
        names(33).join(" ")
    );
    write(&signet, "users.csv", table);
    let (_, told) = refused(&signet, &["users.csv"]);
    assert!(told.contains("at most 32 roles") && told.contains("at most 16 KiB"), "{told}");

    let groups: Vec<_> = names(33).iter().map(|name| json!([name])).collect();
    let fields = json!({"email": "roles@example.com", "groups": groups});
    let dump = json!([{"model": "auth.user", "pk": 1, "fields": fields}]);
    write(&signet, "dump.json", dump.to_string());
    let (_, told) = refused(&signet, &["dump.json"]);
    assert!(told.contains("at most 32 roles"), "{told}");
    assert_eq!(everybody(&signet).len(), 2, "one, and the administrator");
}

#[test]
fn an_address_falls_to_nobody_after_a_refusal() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    let mut file = vec![
        json!({"email": "ada@example.com", "password_hash": "plain"}),
        json!({"email": "Ada@example.com", "roles": ["admin"]}),
        json!({"email": "bob@example.com", "is_disabled": true}),
    ];
    // Further than one batch.
    file.extend((0..150).map(|number| json!({"email": format!("user{number}@example.com")})));
    file.push(json!({"email": "bob@example.com"}));
    write(&signet, "users.jsonl", lines(&file));
    for arguments in [&["users.jsonl", "--dry-run"][..], &["users.jsonl"], &["users.jsonl"]] {
        let (sum, told) = refused(&signet, arguments);
        assert_eq!(sum["refused"], 4, "{told}");
        for part in [
            "line 2: Ada@example.com \u{2014} the address is that of line 1, refused",
            "line 3: bob@example.com \u{2014} unknown field `is_disabled`",
            "line 154: bob@example.com \u{2014} the address is that of line 3, refused",
        ] {
            assert!(told.lines().any(|line| line.starts_with(part)), "{part}: {told}");
        }
    }
    assert_eq!(everybody(&signet).len(), 150);

    // In a table and a dump as well.
    let table = "email,password_hash\nada@example.com,plain\nada@example.com,\n\
                 bob@example.com,,\nbob@example.com,\n";
    write(&signet, "users.csv", table);
    let (sum, told) = refused(&signet, &["users.csv"]);
    assert_eq!((&sum["imported"], &sum["refused"]), (&json!(0), &json!(4)), "{told}");
    let record =
        |number: u64, fields: Value| json!({"model": "auth.user", "pk": number, "fields": fields});
    let dump = json!([
        record(1, json!({"email": "ada@example.com", "password": "plain"})),
        record(2, json!({"email": "ada@example.com", "is_superuser": true})),
    ]);
    write(&signet, "dump.json", dump.to_string());
    let (sum, told) = refused(&signet, &["dump.json", "--superusers-are-admins"]);
    assert_eq!((&sum["imported"], &sum["refused"]), (&json!(0), &json!(2)), "{told}");
    assert!(told.contains("the address is that of record 1, refused"), "{told}");
}

on_every_backend!(an_id_of_before_belongs_to_one_account);

async fn an_id_of_before_belongs_to_one_account(backend: Backend) {
    let signet = Signet::builder().backend(backend).prepare();
    signet.cli_ok(&["migrate"], "");
    let user = |name: &str, id: u64| json!({"id": id, "email": format!("{name}@example.com")});
    let file: Vec<_> = [user("ada", 5), user("bob", 5)]
        .into_iter()
        .chain((100..1300).map(|id| user(&format!("user{id}"), id)))
        .chain([user("eve", 5), user("joe", 1299)])
        // Beside a UUID it is only a remark.
        .chain([json!({"id": ID, "email": "two@example.com", "metadata": {"imported_id": "5"}})])
        .collect();
    write(&signet, "users.jsonl", lines(&file));
    let why = "the id belongs to an account of another address";
    for (arguments, imported) in
        [(&["users.jsonl", "--dry-run"][..], 1202), (&["users.jsonl"], 1202), (&["users.jsonl"], 0)]
    {
        let (sum, told) = refused(&signet, arguments);
        assert_eq!((&sum["imported"], &sum["refused"]), (&json!(imported), &json!(3)), "{told}");
        for line in ["line 2: bob", "line 1203: eve", "line 1204: joe"] {
            let line = format!("{line}@example.com \u{2014} {why}");
            assert!(told.lines().any(|told| told == line), "{line}: {told}");
        }
    }
    // Whoever has changed the address meanwhile does not come in once more under the old one.
    let metadata = json!({"imported_id": "5"}).to_string();
    signet.cli_ok(&["users", "delete", "ada@example.com"], "");
    write(&signet, "moved.jsonl", lines(&[json!({"email": "ada@new.example.com"})]));
    signet.cli_ok(&["users", "import", "moved.jsonl"], "");
    signet.cli_ok(&["users", "set-metadata", "ada@new.example.com"], &metadata);
    write(&signet, "users.jsonl", lines(&file[..1]));
    let (_, told) = refused(&signet, &["users.jsonl"]);
    assert!(told.contains(why), "{told}");
    assert!(find(&everybody(&signet), "ada@example.com").is_none());
}

#[test]
fn a_dump_of_lines_is_read_as_one() {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    let record = |model: &str, pk: u64, fields: Value| {
        format!("{{\"model\": \"{model}\", \"pk\": {pk}, \"fields\": {fields}}}\n")
    };
    let user = |pk: u64| json!({"email": format!("user{pk}@example.com"), "groups": [1]});
    let large = json!({"data": "x".repeat(3_000_000)});
    let records = [
        record("auth.user", 1, user(1)),
        record("shop.image", 1, large),
        record("auth.group", 1, json!({"name": "Editors"})),
        record("auth.user", 2, user(2)),
    ];
    write(&signet, "users.jsonl", records.concat());
    let error = assert_fails(&signet.cli(&["users", "import", "users.jsonl"], ""));
    assert!(error.contains("use --format django"), "{error}");
    let import = ["users", "import", "users.jsonl", "--format", "django"];
    let sum = signet.cli_json(&import, "");
    assert_eq!((&sum["imported"], &sum["skipped"]), (&json!(2), &json!({"shop.image": 1})));
    let users = everybody(&signet);
    let second = find(&users, "user2@example.com").expect("it is there");
    assert_eq!(
        (&second["roles"], &second["metadata"]["imported_id"]),
        (&json!(["editors"]), &json!("2"))
    );

    // Cut off in a record, the ones before it are in.
    let cut = record("auth.user", 3, json!({"email": "user3@example.com"}));
    write(&signet, "cut.jsonl", format!("\n {cut}{}", &cut[..40]));
    let (sum, told) = refused(&signet, &["cut.jsonl", "--format", "django"]);
    assert_eq!(sum["imported"], 1, "{told}");
    assert!(told.contains("cut off in or after record 1"), "{told}");
}
