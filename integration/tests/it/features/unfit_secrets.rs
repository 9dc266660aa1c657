//! Secrets that no environment can carry: the write and the list say so, and they stop no other secret.

use std::path::PathBuf;

use petsem_integration::dev::Dev;
use petsem_integration::server::{Ended, petsem, run};
use serde_json::{Value, json};

/// `petsem dev` whose app has values with NUL bytes, as keystores, UTF-16 files and DER certificates have, beside one
/// that fits.
struct Scene(Dev);

/// By name: a base64 value with a NUL byte.
const UNFIT: [(&str, &str); 4] = [
    ("CERTIFICATE", "MIIBAAA="),
    ("KEYSTORE", "/u3+7QAAAAI="),
    ("NOTES", "//5hAGIA"),
    ("TERMINATED", "YWJjAA=="),
];

impl Scene {
    fn new() -> Self {
        let dev = Dev::start();
        let mut values: serde_json::Map<String, Value> =
            UNFIT.iter().map(|(name, value)| ((*name).to_owned(), json!({ "value_b64": value }))).collect();
        values.insert("URL".to_owned(), json!("postgres://db/shop"));
        dev.set("shop", &Value::Object(values));
        Self(dev)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.directory.path().join(name)
    }

    fn command(&self, arguments: &[&str]) -> Ended {
        let mut command = petsem(arguments);
        command.current_dir(self.0.directory.path()).env("PETSEM_CONTEXT", self.path("context.toml"));
        run(command)
    }
}

#[test]
fn a_write_and_a_list_name_the_secrets_that_environments_leave_out() {
    let scene = Scene::new();
    let nul = json!(["nul_byte"]);
    for (body, warnings) in [
        (json!({"value_b64": "YQBi"}), nul.clone()),
        (json!({"value": "a\u{0}b"}), nul.clone()),
        (json!({"value": "\\u0000"}), Value::Null),
    ] {
        let set = scene.0.operate("POST", "/v1/apps/shop/secrets/RAW", Some(&body));
        assert_eq!((set.status, set.json()["warnings"].clone()), (201, warnings), "{body}");
    }
    let body = json!({"values": {"RAW": "\u{0}", "PLAIN": "x"}});
    let bulk = scene.0.operate("POST", "/v1/apps/shop/secrets", Some(&body)).json();
    let warnings: Vec<_> =
        bulk["secrets"].as_array().unwrap().iter().map(|one| one["warnings"].clone()).collect();
    assert_eq!(warnings, [Value::Null, nul.clone()]);
    let restored = json!({"to_version": 2});
    let rolled = scene.0.operate("POST", "/v1/apps/shop/secrets/RAW/rollback", Some(&restored));
    assert_eq!((rolled.status, rolled.json()["warnings"].clone()), (200, nul.clone()));

    let list = scene.0.operate("GET", "/v1/apps/shop/secrets", None).json();
    let named: Vec<_> =
        list["secrets"].as_array().unwrap().iter().filter(|one| one["warnings"] == nul).collect();
    let names: Vec<_> = named.iter().map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["CERTIFICATE", "KEYSTORE", "NOTES", "RAW", "TERMINATED"]);
    let shown = scene.0.operate("GET", "/v1/apps/shop/secrets/NOTES", None).json();
    assert_eq!((&shown["warnings"], &shown["value_b64"]), (&nul, &Value::Null));
}

#[test]
fn the_commands_that_write_and_list_say_so_too() {
    let scene = Scene::new();
    let note = "environments leave RAW out: its value has a NUL byte, which only files and VM channels carry";
    std::fs::write(scene.path("raw"), b"\xfe\xed\0").unwrap();
    let set = scene.command(&["secrets", "set", "RAW", "--file", "raw"]);
    assert!(set.status.success() && set.printed.contains(note), "{}", set.printed);
    std::fs::write(scene.path("raw.env"), b"PLAIN=x\nRAW='a\0b'\n").unwrap();
    let import = scene.command(&["secrets", "import", "raw.env"]);
    assert_eq!(import.status.code(), Some(2), "{}", import.printed);
    assert!(import.printed.contains("line 2"), "{}", import.printed);
    let list = scene.command(&["secrets", "list"]);
    assert!(list.status.success() && list.printed.contains(note), "{}", list.printed);
    assert!(
        list.printed.contains("leave KEYSTORE out") && !list.printed.contains("leave URL out"),
        "{}",
        list.printed
    );
}

#[test]
fn a_list_names_the_reserved_names_that_the_app_does_not_allow() {
    let dev = Dev::start();
    let settings = |body: Value| {
        let changed = dev.own("PATCH", "/v1/apps/shop/settings", Some(&body));
        assert_eq!(changed.status, 200, "{}", changed.text());
    };
    let warnings =
        || dev.operate("GET", "/v1/apps/shop/secrets", None).json()["secrets"][0]["warnings"].clone();
    settings(json!({"allow_reserved_names": ["LD_SDK_KEY"]}));
    dev.set("shop", &json!({"LD_SDK_KEY": "sdk-0000"}));
    assert_eq!(warnings(), Value::Null);
    settings(json!({"withdraw_reserved_names": ["LD_SDK_KEY"]}));
    assert_eq!(warnings(), json!(["reserved_name"]));
}

#[test]
fn a_run_and_a_boot_deliver_what_they_can_and_name_the_rest() {
    let scene = Scene::new();
    let script = ["--", "sh", "-c", "echo URL=$URL KEYSTORE=$KEYSTORE NOTES=$NOTES"];
    for how in
        [&["run"][..], &["run", "--pristine"], &["boot", "--machine", "m-1"], &["run", "--allow", "NOTES"]]
    {
        let ran = scene.command(&[how, &script].concat());
        assert!(ran.status.success(), "{how:?}: {}", ran.printed);
        assert!(
            ran.printed.contains("URL=postgres://db/shop KEYSTORE= NOTES=\n"),
            "{how:?}: {}",
            ran.printed
        );
        for (name, _) in UNFIT {
            let note =
                format!("note: {name} is left out: its value has a NUL byte, which no environment can carry");
            assert!(ran.printed.contains(&note), "{how:?}: {}", ran.printed);
        }
    }
    let lines = scene.0.audit_lines();
    let report = lines.iter().rfind(|line| line["action"] == "boot.report").unwrap();
    assert_eq!(
        report["secrets"],
        json!({"count": 4, "names": ["CERTIFICATE", "KEYSTORE", "NOTES", "TERMINATED"]})
    );
    let shown = scene.command(&["boot", "--machine", "m-1", "--show", "--json"]);
    // Notes are beside it.
    let (begin, end) = (shown.printed.find("{\n").unwrap(), shown.printed.rfind("\n}").unwrap());
    let shown: Value = serde_json::from_str(&shown.printed[begin..end + 2]).unwrap();
    assert_eq!(shown["left_out"], json!(["CERTIFICATE", "KEYSTORE", "NOTES", "TERMINATED"]));
}

#[test]
fn unset_says_which_names_do_not_exist() {
    let scene = Scene::new();
    let both = scene.command(&["secrets", "unset", "URL", "URI"]);
    assert!(both.status.success(), "{}", both.printed);
    for text in ["note: shop has no secret URI; `petsem secrets list` shows all", "URL is unset"] {
        assert!(both.printed.contains(text), "{}", both.printed);
    }
    let again = scene.command(&["secrets", "unset", "URL"]);
    for text in ["note: shop has no secret URL", "nothing was changed"] {
        assert!(again.printed.contains(text), "{}", again.printed);
    }
    assert!(!again.printed.contains("is unset"), "{}", again.printed);
    let body = json!({"values": {"NOTES": null, "NOTE": null, "NEW": "x"}});
    let bulk = scene.0.operate("POST", "/v1/apps/shop/secrets", Some(&body)).json();
    assert_eq!(bulk["not_found"], json!(["NOTE"]));
}
