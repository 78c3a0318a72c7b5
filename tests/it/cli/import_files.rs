//! users import: files that are broken or hostile. What can be read is, and all else is told.

use serde_json::{Value, json};

use super::assert_fails;
use super::import::{everybody, lines, password_hash, refused, write};
use crate::support::signet::Signet;

fn prepared() -> Signet {
    let signet = Signet::builder().prepare();
    signet.cli_ok(&["migrate"], "");
    signet
}

#[test]
fn a_bad_line_is_refused_alone() {
    let signet = prepared();
    let huge = format!("{{\"email\": \"{}@example.com\"}}", "a".repeat(200_000));
    let deep = format!("{{\"email\": \"d@example.com\", \"metadata\": {}", "[".repeat(60_000));
    let bad: [(&[u8], &str); 18] = [
        (b"{\"email\": \"\xff@example.com\"}", "is not UTF-8"),
        (huge.as_bytes(), "is longer than 64 KiB"),
        (deep.as_bytes(), "is not JSON: recursion limit"),
        (
            b" {\"email\": \"a@example.com\"",
            "is not JSON: EOF while parsing an object, at column 26",
        ),
        (b"{\"email\": \"a@example.com\"} {}", "is not JSON: trailing"),
        (b"{\"email\": \"a\0@example.com\"}", "is not JSON: control character"),
        (b"{\"email\": \"a\\u0000@example.com\"}", "must be an e-mail address"),
        (b"{\"email\": \"a\\ud800@example.com\"}", "is not JSON"),
        (b"\"pbkdf2_sha256$1$secret$secret\"", "is not a JSON object"),
        (b"[1]", "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"{}", "has no e-mail address"),
        (b"{\"email\": \"a@example.com\", \"is_disabled\": true}", "unknown field `is_disabled`"),
        (b"{\"email\": \"a@example.com\", \"email\": \"b@example.com\"}", "duplicate field"),
        (b"{\"email\": \"a@example.com\", \"password_hash\": \"secret\"}", "password hash is"),
        (b"{\"email\": \"a@example.com\", \"password_hash\": 12345678}", "must be a string"),
        (b"{\"email\": \"a@example.com\", \"roles\": \"Staff\"}", "a role is 1 to 64"),
        (b"{\"email\": \"a\\u001b[2J@example.com\"}", "must be an e-mail address"),
    ];
    let mut file = Vec::new();
    for (number, (line, _)) in bad.iter().enumerate() {
        file.extend_from_slice(line);
        file.extend(format!("\n{{\"email\": \"good-{number}@example.com\"}}\n").bytes());
    }
    // The last one is cut off.
    file.extend(b"{\"email\": \"last@example.com\", \"pass");
    write(&signet, "bad.jsonl", &file);
    let (sum, told) = refused(&signet, &["bad.jsonl", "--rejects", "rejects"]);
    assert_eq!((&sum["imported"], &sum["refused"]), (&json!(bad.len()), &json!(bad.len() + 1)));
    assert_eq!(everybody(&signet).len(), bad.len());
    for (number, (_, why)) in bad.iter().enumerate() {
        let start = format!("line {}: ", 2 * number + 1);
        let line = told.lines().find(|line| line.starts_with(&start));
        assert!(line.is_some_and(|line| line.contains(why)), "{start}{why}: {told}");
    }
    assert!(!told.contains("at line"), "each line is the first to the parser: {told}");
    let rejects = std::fs::read_to_string(signet.folder().join("rejects")).expect("text");
    for text in [&told, &rejects] {
        assert!(!text.contains("secret") && !text.contains("12345678"), "{text}");
        assert!(!text.contains('\x1b') && text.lines().all(|line| line.len() < 2000), "{text}");
    }
}

#[test]
fn a_table_that_is_wrong_as_a_whole_is_refused_as_a_whole() {
    let signet = prepared();
    let import = |file: &[u8]| {
        write(&signet, "users.csv", file);
        assert_fails(&signet.cli(&["users", "import", "users.csv"], ""))
    };
    for (file, why) in [
        (&b""[..], "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"password_hash,name\nx,y\n", "does not name the column email"),
        (b"email,name\na@example.com,y\n", "does not name the column password_hash"),
        (b"email,password_hash,is_active\na@example.com,,t\n", "column 3, \"is_active\", of"),
        (b"email,password_hash,email\na@example.com,,\n", "names email twice"),
        (b"email;password_hash\na@example.com;\n", "semicolons between its columns"),
        (b"\"id\"\t\"email\"\n1\ta@example.com\n", "tabs between its columns"),
        (b"secret;secret\na@example.com;\n", "column 1 of the first line is unknown"),
        (b"a@example.com,$argon2id$v=19$secret\n", "column 1 of"),
        (b"\xff\xfee\0m\0a\0i\0l\0", "UTF-16"),
        (b"\x00\x01\x02\xff\n", "column 1 of"),
        (format!("\"{}", "x".repeat(300_000)).as_bytes(), "quote left open"),
    ] {
        let error = import(file);
        assert!(error.contains(why) && !error.contains("secret"), "{why}: {error}");
        assert!(error.len() < 1000, "{error}");
    }
    assert!(everybody(&signet).is_empty());
}

#[test]
fn bad_records_of_a_table_are_refused_alone() {
    let signet = prepared();
    let hash = password_hash();
    let file = format!(
        "email,password_hash,disabled\r\n\
         a@example.com,\"{hash}\",f\r\n\
         \r\n\
         b@example.com,{hash},f\r\n\
         c@example.com,\n\
         \"d@\nexample.com\",\"{hash}\",f\n\
         e@example.com,f,\"{hash}\"\n\
         g@example.com,plain text,f\n\
         h@example.com,\"{hash}\",\"f\"\r\n"
    );
    write(&signet, "users.csv", [file.as_bytes(), b"\xff@example.com,,\n\n"].concat());
    let (sum, told) = refused(&signet, &["users.csv"]);
    assert_eq!((&sum["imported"], &sum["refused"]), (&json!(2), &json!(6)), "{told}");
    for line in [
        "line 4: b@example.com \u{2014} has 5 fields, where the first line names 3 columns: what holds \
         commas needs quotes",
        "line 5: c@example.com \u{2014} has 2 fields, where the first line names 3 columns",
        "line 6: d@<U+000A>example.com \u{2014} email must be",
        "line 8: e@example.com \u{2014} ",
        "line 9: g@example.com \u{2014} the password hash is",
        "line 11: is not UTF-8",
    ] {
        assert!(told.lines().any(|told| told.starts_with(line)), "{line}: {told}");
    }
    assert!(!told.contains("argon2") && !told.contains("plain text"), "{told}");

    // What comes before an open quote is in, and the file is told to be broken.
    let open =
        format!("email,password_hash\nx@example.com,\n\"y@example.com,{}", "z\n".repeat(50_000));
    write(&signet, "open.csv", open);
    let (sum, told) = refused(&signet, &["open.csv"]);
    assert_eq!(sum["imported"], 1);
    assert!(told.contains("begins at line 3") && told.contains("quote left open"), "{told}");
}

#[test]
fn a_broken_dump_is_read_as_far_as_it_goes() {
    let signet = prepared();
    let import = |file: &[u8]| {
        write(&signet, "dump.json", file);
        assert_fails(&signet.cli(&["users", "import", "dump.json"], ""))
    };
    for (file, why) in [
        (&b""[..], "is empty"),
        (b"\xef\xbb\xbf", "is empty"),
        (b"[", "is empty, or cut off"),
        (b"{}", "not a list of records"),
        (b"\"pbkdf2_sha256$secret\"", "not a list of records"),
        (b"[\"secret\"]", "not a list of records"),
        (b"[{\"model\": 7}]", "not a list of records"),
        (b"\xff\xfe[\0", "UTF-16"),
        (b"\x1f\x8b\x08\x00", "not JSON"),
        (
            b"[{\"model\": \"shop.customuser\", \"pk\": 1, \"fields\": {}}]",
            "--django-model shop.customuser",
        ),
    ] {
        let error = import(file);
        assert!(error.contains(why) && !error.contains("secret"), "{why}: {error}");
    }
    let record = |model: &str, fields: Value| {
        let pk = &fields["email"];
        format!("{{\"model\": \"{model}\", \"pk\": {pk}, \"fields\": {fields}}}")
    };
    let user = |name: &str| record("auth.user", json!({"email": format!("{name}@example.com")}));
    for (fields, why) in [
        (json!({"email": "x@example.com", "is_active": 1}), "is_active must be"),
        (json!({"email": "x@example.com", "groups": "all"}), "groups must be"),
        (json!({"email": "x@example.com", "groups": [7]}), "dump auth.group as well"),
        (json!({"email": "x@example.com", "groups": [["a", "b"], null]}), "dump auth.group"),
        (json!({"username": "x"}), "has no e-mail address"),
        (json!({"email": 7, "username": "x@example.com"}), "email must be"),
        (json!({}), "has no e-mail address"),
    ] {
        write(&signet, "dump.json", format!("[{}]", record("auth.user", fields)));
        let (sum, told) = refused(&signet, &["dump.json"]);
        assert_eq!(sum["imported"], 0, "{told}");
        assert!(told.starts_with("record 1: ") && told.contains(why), "{why}: {told}");
    }
    let large = record("shop.image", json!({"data": "x".repeat(3_000_000)}));
    let long = record("auth.user", json!({"data": "x".repeat(3_000_000)}));
    for (name, rest, why) in [
        ("a", String::new(), "cut off in or after record 2"),
        ("b", ",".into(), "cut off in or after record 2"),
        ("c", format!(",{}", &user("x")[..40]), "cut off in or after record 2"),
        ("d", ", {\"model\" \"auth.user\"}]".into(), "not JSON"),
        ("e", "] {}".into(), "not JSON: trailing"),
        ("f", format!(", {long}]"), "record 3 is longer than 1 MiB"),
        ("g", ", 7]".into(), "not a list of records"),
    ] {
        write(&signet, "dump.json", format!("[{large}, {}{rest}", user(name)));
        let (sum, told) = refused(&signet, &["dump.json"]);
        assert_eq!(sum["imported"], 1, "{name}: {told}");
        assert!(told.contains(why), "{why}: {told}");
    }
}

#[test]
fn an_empty_file_brings_nobody() {
    let signet = prepared();
    for (name, content) in [
        ("a.jsonl", ""),
        ("b.jsonl", "\u{feff}"),
        ("c.jsonl", "\n\r\n"),
        ("d.json", " [ ] "),
        ("e.csv", "email,password_hash\n"),
    ] {
        write(&signet, name, content);
        let sum = signet.cli_json(&["users", "import", name], "");
        assert_eq!((&sum["imported"], &sum["refused"]), (&json!(0), &json!(0)), "{name}");
    }
    write(&signet, "bom.jsonl", format!("\u{feff}{}", lines(&[json!({"email": "a@example.com"})])));
    assert_eq!(signet.cli_json(&["users", "import", "bom.jsonl"], "")["imported"], 1);
}
