//! The modules of this crate form no cycle, so that each can be read after those that it uses.

#![expect(clippy::unwrap_used, reason = "a test fails loudly")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// The modules that each module declares or names, by path; the crate's root is the empty path, and names of its
/// items are not followed.
type Graph = BTreeMap<Vec<String>, BTreeSet<Vec<String>>>;

#[test]
fn modules_form_no_cycle() {
    let mut sources = BTreeMap::new();
    read(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &[], &mut sources);
    let graph = graph(&sources);
    assert!(graph[&strings(&["output"])].contains(&strings(&["messages"])), "the imports are read");
    assert_eq!(cycle(&graph), None);
}

#[test]
fn a_cycle_is_found() {
    let source = |path: &[&str], text: &str| (strings(path), text.to_owned());
    let mut sources = BTreeMap::from([
        source(&[], "mod a;\nmod b;"),
        source(&["a"], "mod child;\nuse crate::{b::{Item, other}, fmt};"),
        source(&["a", "child"], "use super::super::b;"),
        source(
            &["b"],
            "// crate::a is only in a comment\n#[cfg(test)]\nmod tests {\n    use super::super::a;\n}",
        ),
    ]);
    assert_eq!(cycle(&graph(&sources)), None);
    sources.insert(strings(&["b"]), "fn item() { crate::a::child::item() }".to_owned());
    let found = cycle(&graph(&sources)).unwrap();
    assert_eq!(found, ["a::child", "b"]);
}

/// All files but those of tests.
fn read(directory: &Path, module: &[String], sources: &mut BTreeMap<Vec<String>, String>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
        let mut inner = module.to_vec();
        match name.as_str() {
            "tests" => continue,
            "main" | "lib" => {}
            _ => inner.push(name),
        }
        match path.is_dir() {
            true => read(&path, &inner, sources),
            false => drop(sources.insert(inner, fs::read_to_string(&path).unwrap())),
        }
    }
}

fn graph(sources: &BTreeMap<Vec<String>, String>) -> Graph {
    let edges = |(module, text): (&Vec<String>, &String)| {
        let code = text.split("#[cfg(test)]\nmod tests").next().unwrap_or_default();
        let lines = code.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        let code = lines.collect::<Vec<_>>().join("\n");
        let mut named = Vec::new();
        for line in code.lines() {
            if let Some(child) = line.strip_prefix("mod ").and_then(|rest| rest.strip_suffix(';')) {
                named.push([module.clone(), strings(&[child])].concat());
            }
        }
        for (start, base) in
            [("crate::", &[][..]), ("super::", module.split_last().map_or(&[][..], |it| it.1))]
        {
            for (at, _) in code.match_indices(start) {
                // `super::super::` is found at its first `super`.
                if !code.get(..at).unwrap().ends_with("super::") {
                    paths(code.get(at + start.len()..).unwrap(), base, &mut named);
                }
            }
        }
        let known = named.into_iter().filter_map(|mut path| {
            while !sources.contains_key(&path) {
                path.pop()?;
            }
            (path != *module).then_some(path)
        });
        (module.clone(), known.filter(|path| !path.is_empty()).collect())
    };
    sources.iter().map(edges).collect()
}

/// The paths of a use tree, or of an expression; answers what follows it.
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
    let end =
        text.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(text.len());
    let (name, rest) = text.split_at(end);
    let path = match name {
        "super" => base.split_last().map_or(Vec::new(), |(_, parent)| parent.to_vec()),
        "" | "self" => base.to_vec(),
        name => [base, &strings(&[name])].concat(),
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

fn strings(path: &[&str]) -> Vec<String> {
    path.iter().map(|name| (*name).to_owned()).collect()
}
