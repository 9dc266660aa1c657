//! Arrows point inward: each crate depends only on the workspace crates that the design allows; the modules
//! of a crate form no cycle; and values are opened in one place, after a decision.
//!
//! The module rules are checked on the text of `src`, without comments and tests.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// The last column of the design's table of crates. `policy` without `evaluate` has its own row below.
const MAY_USE: [(&str, &[&str]); 12] = [
    ("petsem-keys", &[]),
    ("petsem-outbound", &[]),
    ("petsem-seals", &["petsem-keys", "petsem-outbound"]),
    ("petsem-policy", &[]),
    ("petsem-api", &[]),
    ("petsem-store", &["petsem-api"]),
    ("petsem-client", &["petsem-api", "petsem-keys", "petsem-policy", "petsem-outbound"]),
    ("petsem-audit", &["petsem-keys", "petsem-api"]),
    ("petsem-engine", &["petsem-keys", "petsem-policy", "petsem-store", "petsem-audit", "petsem-api"]),
    (
        "petsem-server",
        &[
            "petsem-engine",
            "petsem-audit",
            "petsem-seals",
            "petsem-store",
            "petsem-api",
            "petsem-policy",
            "petsem-outbound",
        ],
    ),
    ("petsem", ALL),
    ("petsem-integration", ALL),
];
const ALL: &[&str] = &[
    "petsem-keys",
    "petsem-outbound",
    "petsem-seals",
    "petsem-policy",
    "petsem-store",
    "petsem-audit",
    "petsem-engine",
    "petsem-api",
    "petsem-client",
    "petsem-server",
];
/// Parts of tests. The init of the test VMs represents a Machine's own code: it links only the client. The
/// counterparts of the seals do not depend on petsem.
const TESTS: [(&str, &[&str]); 2] = [("petsem-guest", &["petsem-client"]), ("petsem-counterparts", &[])];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The normal dependencies of every package on workspace packages, with their requested features.
fn dependencies() -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let metadata = metadata();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let of = |package: &Value| {
        package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            // `kind` is null for normal dependencies, and only workspace packages have a `path`.
            .filter(|dependency| dependency["kind"].is_null() && dependency["path"].is_string())
            .map(|dependency| {
                let features = dependency["features"].as_array().unwrap().iter().map(text).collect();
                (text(&dependency["name"]), features)
            })
            .collect()
    };
    metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|package| (text(&package["name"]), of(package)))
        .collect()
}

#[test]
fn each_crate_uses_only_the_crates_that_the_design_allows() {
    let dependencies = dependencies();
    let may_use: BTreeMap<_, _> = MAY_USE.into_iter().chain(TESTS).collect();
    let known: BTreeSet<_> = may_use.keys().copied().collect();
    let there: BTreeSet<_> = dependencies.keys().map(String::as_str).collect();
    assert_eq!(there, known, "a crate without a row in the design's table, or a row without a crate");
    for (package, uses) in &dependencies {
        let may: BTreeSet<&str> = may_use[package.as_str()].iter().copied().collect();
        let uses: BTreeSet<&str> = uses.keys().map(String::as_str).collect();
        assert_eq!(uses.difference(&may).collect::<Vec<_>>(), Vec::<&&str>::new(), "{package}");
    }
}

/// The names of all packages that a crate links, directly or indirectly.
fn linked(package: &str) -> BTreeSet<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--package", package, "--edges", "normal", "--all-features"])
        .args(["--prefix", "none", "--format", "{p}", "--locked"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let tree = String::from_utf8(output.stdout).unwrap();
    tree.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

/// ring does not wipe its memory, so no key may reach it (design §5). Other crates may hash and verify with
/// it.
#[test]
fn keys_does_not_depend_on_ring() {
    let packages = linked("petsem-keys");
    assert!(packages.contains("aes-gcm"), "the tree has none of the known dependencies: {packages:?}");
    assert!(!packages.contains("ring"), "{packages:?}");
}

/// So a program that links one does not wipe the memory that it frees, unless it sets such an allocator, as SECURITY.md
/// says.
#[test]
fn no_library_sets_an_allocator() {
    for (package, _) in MAY_USE {
        let directory = package.strip_prefix("petsem-").unwrap_or("cli");
        let setters: Vec<_> =
            uses(directory, &["global_allocator"]).into_keys().map(|(module, _)| module).collect();
        let expected = match package {
            // The module of `main.rs` has no name.
            "petsem" => vec![""],
            // The benchmark measures the engine with the allocator of `petsem`.
            "petsem-integration" => vec!["bin::bench"],
            _ => Vec::new(),
        };
        assert_eq!(setters, expected, "{package}");
    }
}

/// Decisions can be made and tested without a network, and the crate that parses HTTP has no key.
#[test]
fn engine_links_no_http_and_server_uses_no_keys() {
    const HTTP: [&str; 11] = [
        "axum",
        "h2",
        "http",
        "http-body",
        "http-body-util",
        "httparse",
        "hyper",
        "hyper-util",
        "petsem-outbound",
        "rustls",
        "tower",
    ];
    let (engine, server) = (linked("petsem-engine"), linked("petsem-server"));
    assert!(engine.contains("petsem-keys") && server.contains("hyper"), "{engine:?} {server:?}");
    let found: Vec<_> = HTTP.into_iter().filter(|package| engine.contains(*package)).collect();
    assert_eq!(found, Vec::<&str>::new());
    assert!(!dependencies()["petsem-server"].contains_key("petsem-keys"));
}

#[test]
fn the_client_links_no_policy_evaluation() {
    let dependencies = dependencies();
    assert_eq!(dependencies["petsem-client"]["petsem-policy"], Vec::<String>::new());
    let metadata = metadata();
    let policy = metadata["packages"]
        .as_array()
        .unwrap()
        .iter()
        .find(|package| package["name"] == "petsem-policy")
        .unwrap();
    let default = policy["features"]["default"].as_array().cloned().unwrap_or_default();
    assert_eq!(default, Vec::<Value>::new(), "`evaluate` must not be on by default");
}

/// How often each module of a crate has one of these texts at the end of a name: `.open` does not match
/// `.opened`. Modules without them are omitted.
fn uses(crate_name: &str, texts: &[&str]) -> BTreeMap<(String, String), usize> {
    let mut found = BTreeMap::new();
    for (module, text) in without_tests(sources(crate_name)) {
        let code = code(&text);
        for wanted in texts {
            let ends = |at: usize| !code[at + wanted.len()..].starts_with(in_name);
            let count = code.match_indices(wanted).filter(|(at, _)| ends(*at)).count();
            if count > 0 {
                found.insert((module.join("::"), (*wanted).to_owned()), count);
            }
        }
    }
    found
}

fn expected<const N: usize>(uses: [(&str, &str, usize); N]) -> BTreeMap<(String, String), usize> {
    uses.into_iter().map(|(module, text, count)| ((module.to_owned(), text.to_owned()), count)).collect()
}

/// `secrets::bundle` alone opens values with an `AppKek`. Text has no types, so each call of a method `.open`
/// is counted; this list is complete.
#[test]
fn only_the_bundle_opens_values() {
    assert_eq!(
        uses("engine", &[".open", "AppKek::open"]),
        expected([
            // A ticket, with a `PollKey`.
            ("boot::polls", ".open", 1),
            // A file.
            ("control::denial_folder", ".open", 1),
            // A configured seal, and the root key with it.
            ("keyring::open_list", ".open", 2),
            ("keyring::unlock", ".open", 3),
            ("secrets::bundle", ".open", 3),
        ])
    );
}

/// Each read of design §4 creates its evidence in one place. A workload reads with a JWT or with a token
/// exchanged for one.
#[test]
fn a_readable_app_is_made_by_the_three_decisions_alone() {
    assert_eq!(
        uses("engine", &["by_boot", "by_break_glass", "by_workload"]),
        expected([
            ("approvals::break_glass", "by_break_glass", 1),
            ("authz::readable", "by_boot", 1),
            ("authz::readable", "by_break_glass", 1),
            ("authz::readable", "by_workload", 1),
            ("boot::boot", "by_boot", 1),
            ("secrets::read", "by_workload", 2),
        ])
    );
}

/// All user-facing texts are in one place for review: texts of refusals are in `messages`, or in a file of
/// errors, next to their variant or conversion.
#[test]
fn refusals_get_their_text_in_messages() {
    let texts = [
        "Failure::new",
        "StartError::Refused(format!",
        "ServeError::Stop(format!",
        "UnlockError::Refused(format!",
    ];
    for name in ["engine", "server"] {
        let modules = uses(name, &texts).into_keys().map(|(module, _)| module);
        let is_place = |module: &String| module.split("::").any(|part| matches!(part, "messages" | "error"));
        let (inside, outside): (Vec<_>, Vec<_>) = modules.partition(is_place);
        assert!(inside.iter().any(|module| module.starts_with("messages::")), "{name} is not read");
        assert_eq!(outside, Vec::<String>::new(), "{name} has refusals with a text outside `messages`");
    }
}

/// The modules of a crate, and for each the modules whose items it names, by path. A re-exported item belongs
/// to the module that declares it. Module declarations are not followed.
type Graph = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

/// The modules can be read in an order in which each follows those that it uses.
#[test]
fn modules_form_no_cycle() {
    for (name, (module, used)) in [
        ("cli", ("output", "messages")),
        ("engine", ("authz::readable", "tenancy::found")),
        ("server", ("api::boot", "http::route")),
    ] {
        let graph = graph(sources(name));
        assert!(graph[&path_of(module)].contains(&path_of(used)), "the imports of {name} are not read");
        assert_eq!(cycle(&graph), None, "{name}");
    }
}

#[test]
fn a_cycle_is_found() {
    let source = |path: &str, text: &str| (path_of(path), text.to_owned());
    let mut sources = BTreeMap::from([
        source("", "mod a;\nmod b;\n#[cfg(test)]\nmod lab;\npub use a::{Child, Item};"),
        source("a", "mod child;\npub(crate) use child::Child;\nuse crate::{b::{Item, other}, fmt};"),
        source("a::child", "use super::super::b;\nfn a() { super::Item::new() }"),
        source(
            "b",
            "// crate::a is only in a comment\n#[cfg(test)]\nmod tests {\n    use super::super::a;\n}",
        ),
        source("lab", "use crate::a;"),
    ]);
    assert_eq!(cycle(&graph(sources.clone())), None);
    for (module, text, expected) in [
        ("b", "fn item() { crate::a::child::item() }", &["a", "b", "a::child"][..]),
        ("b", "use crate::{fmt, a};", &["a", "b"]),
        ("a", "mod child;\nfn item() { child::item() }", &["a", "a::child"]),
        // A re-export of a re-export.
        ("b", "use crate::{Child, fmt};", &["a", "b", "a::child"]),
    ] {
        let whole = sources.insert(path_of(module), text.to_owned()).unwrap();
        assert_eq!(cycle(&graph(sources.clone())).unwrap(), expected, "{text}");
        sources.insert(path_of(module), whole);
    }
}

/// The text of every module in a crate's `src`.
fn sources(crate_name: &str) -> BTreeMap<Vec<String>, String> {
    fn read(directory: &Path, module: &[String], sources: &mut BTreeMap<Vec<String>, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            let mut inner = module.to_vec();
            match path.file_stem().unwrap().to_str().unwrap() {
                "main" | "lib" | "mod" => {}
                name => inner.push(name.to_owned()),
            }
            if path.is_dir() {
                read(&path, &inner, sources);
            } else {
                sources.insert(inner, fs::read_to_string(&path).unwrap());
            }
        }
    }
    let mut sources = BTreeMap::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(crate_name).join("src"), &[], &mut sources);
    sources
}

/// A module's code without comments and without its tests.
fn code(text: &str) -> String {
    let text = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// All modules except those that exist only in tests.
fn without_tests(mut sources: BTreeMap<Vec<String>, String>) -> BTreeMap<Vec<String>, String> {
    for (module, text) in sources.clone() {
        for rest in text.split("#[cfg(test)]\nmod ").skip(1) {
            let child = [module.clone(), path_of(rest.split([';', ' ']).next().unwrap())].concat();
            sources.retain(|path, _| !path.starts_with(&child));
        }
    }
    sources
}

fn in_name(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

fn graph(sources: BTreeMap<Vec<String>, String>) -> Graph {
    let sources = without_tests(sources);
    let children = |module: &[String]| -> Vec<String> {
        let inner = sources.keys().filter_map(|path| path.split_last()).filter(|it| it.1 == module);
        inner.map(|(name, _)| format!("{name}::")).collect()
    };
    let exports = exports(&sources);
    let edges = |(module, text): (&Vec<String>, &String)| {
        let code = code(text);
        let own: Vec<&str> = code.split_inclusive(';').filter(|item| !re_exports(item)).collect();
        let own = own.concat();
        let mut named = Vec::new();
        let mut follow = |code: &str, start: &str, from: usize, base: &[String]| {
            for (at, _) in code.match_indices(start) {
                // It must not be the end of a longer name or path. `super::super::` is found at its first
                // `super`.
                if !code[..at].ends_with(|before| in_name(before) || ":$".contains(before)) {
                    paths(&code[at + from..], base, &mut named);
                }
            }
        };
        follow(&code, "crate::", "crate::".len(), &[]);
        follow(&code, "super::", 0, module);
        for child in children(module) {
            follow(&own, &child, 0, module);
        }
        let known = named.into_iter().filter_map(|path| {
            let mut path = declared(path, &exports);
            while !sources.contains_key(&path) {
                path.pop()?;
            }
            (path != *module && !path.is_empty()).then_some(path)
        });
        (module.clone(), known.collect())
    };
    sources.iter().map(edges).collect()
}

/// Whether the last line of an item's text starts a `pub use`.
fn re_exports(item: &str) -> bool {
    item.rfind("use ").is_some_and(|at| item[..at].rsplit('\n').next().unwrap().starts_with("pub"))
}

/// The path that each `pub use`, of a child module or another module, re-exports.
fn exports(sources: &BTreeMap<Vec<String>, String>) -> BTreeMap<Vec<String>, Vec<String>> {
    let mut exports = BTreeMap::new();
    for (module, text) in sources {
        for item in code(text).split(';').filter(|item| re_exports(item)) {
            let tree = &item[item.rfind("use ").unwrap() + "use ".len()..];
            let mut found = Vec::new();
            match tree.strip_prefix("crate::") {
                Some(tree) => paths(tree, &[], &mut found),
                None => paths(tree, module, &mut found),
            };
            for path in found {
                let name = path.last().cloned();
                exports.insert([module.clone(), name.into_iter().collect()].concat(), path);
            }
        }
    }
    exports
}

/// A path with its re-exports replaced.
fn declared(mut path: Vec<String>, exports: &BTreeMap<Vec<String>, Vec<String>>) -> Vec<String> {
    // The longest chain of re-exports.
    for _ in 0..4 {
        let Some((length, target)) = (1..=path.len())
            .find_map(|length| exports.get(&path[..length]).map(|target| (length, target)))
            .filter(|(length, target)| path[..*length] != target[..])
        else {
            break;
        };
        path = [target.as_slice(), &path[length..]].concat();
    }
    path
}

/// The paths of a use tree or an expression; returns the remaining text.
fn paths<'a>(text: &'a str, base: &[String], found: &mut Vec<Vec<String>>) -> &'a str {
    let text = text.trim_start();
    if let Some(mut rest) = text.strip_prefix('{') {
        loop {
            rest = paths(rest, base, found).trim_start();
            match rest.strip_prefix(',') {
                Some(next) => rest = next,
                None => return rest.strip_prefix('}').unwrap_or(rest),
            }
        }
    }
    let end = text.find(|character| !in_name(character)).unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = match name {
        "super" => base.split_last().map_or(Vec::new(), |(_, parent)| parent.to_vec()),
        "" | "self" => base.to_vec(),
        name => [base, &path_of(name)].concat(),
    };
    match rest.strip_prefix("::") {
        Some(rest) => paths(rest, &path, found),
        None => {
            found.push(path);
            rest
        }
    }
}

/// The modules of one cycle, in order.
fn cycle(graph: &Graph) -> Option<Vec<String>> {
    fn visit<'a>(
        at: &'a [String],
        graph: &'a Graph,
        path: &mut Vec<&'a [String]>,
        done: &mut BTreeSet<&'a [String]>,
    ) -> bool {
        if let Some(start) = path.iter().position(|module| *module == at) {
            path.drain(..start);
            return true;
        }
        if done.contains(at) {
            return false;
        }
        path.push(at);
        if graph.get(at).into_iter().flatten().any(|next| visit(next, graph, path, done)) {
            return true;
        }
        path.pop();
        done.insert(at);
        false
    }
    let (mut path, mut done) = (Vec::new(), BTreeSet::new());
    let found = graph.keys().any(|module| visit(module, graph, &mut path, &mut done));
    found.then(|| path.iter().map(|module| module.join("::")).collect())
}

fn path_of(module: &str) -> Vec<String> {
    module.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
