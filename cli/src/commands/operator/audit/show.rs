//! `petsem operator audit show`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use petsem_server::Settings;
use serde::Deserialize;

use crate::failure::Failure;
use crate::messages;
use crate::output::{self, Table};

/// Longest line that is read, in bytes; the server writes shorter ones.
const MAX_LINE: u64 = 256 * 1024;

/// Show the last lines of an audit log
///
/// It reads the files, also beside a running server, and verifies nothing: `petsem operator audit verify` does that.
/// Checkpoints, which are no requests, are neither shown nor counted.
#[derive(Args)]
pub(crate) struct Show {
    /// The log's directory [default: that of the configuration]
    #[arg(value_name = "DIRECTORY", required_unless_present = "config")]
    directory: Option<PathBuf>,

    /// The configuration file that names the log's directory
    #[arg(long, value_name = "FILE", env = "PETSEM_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,

    /// The number of lines, from the end [default: 20, or all of a request]
    #[arg(long, value_name = "COUNT")]
    last: Option<usize>,

    /// Only the lines of this request, whose id each error names; the end of an id suffices
    #[arg(long, value_name = "REQUEST_ID")]
    request: Option<String>,

    /// Print the lines unchanged, one JSON object each
    #[arg(long)]
    json: bool,
}

/// Lines that are shown if nothing is said.
const LAST: usize = 20;

/// The fields of a line that are shown, if present.
#[derive(Deserialize)]
struct AuditLine {
    request_id: Option<String>,
    #[serde(rename = "t")]
    time: Option<String>,
    action: Option<String>,
    outcome: Option<String>,
    reason: Option<String>,
    source: Option<String>,
    token: Option<String>,
    subject: Option<Subject>,
    app_name: Option<String>,
    secrets: Option<Secrets>,
    secret_key: Option<String>,
    version: Option<u64>,
    machine: Option<String>,
    host: Option<String>,
    count: Option<u64>,
    detail: Option<String>,
}

#[derive(Deserialize)]
struct Subject {
    sub: String,
}

#[derive(Deserialize)]
struct Secrets {
    count: u64,
    names: Vec<String>,
}

impl Show {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let directory = self.directory()?;
        let count = self.last.unwrap_or(if self.request.is_some() { usize::MAX } else { LAST });
        let lines = last_lines(&directory, count, |line| is_shown(line, self.request.as_deref()))?;
        if let Some(request) = self.request.as_deref().filter(|_| lines.is_empty()) {
            return Err(messages::no_such_request(request, &directory));
        }
        if self.json {
            return lines.iter().try_for_each(|line| output::stored_json(line));
        }
        let mut table = Table::new(&["TIME", "REQUEST", "ACTION", "OUTCOME", "WHO", "WHAT"]);
        for line in &lines {
            match serde_json::from_str::<AuditLine>(line) {
                Ok(line) => table.row(line.cells()),
                Err(_) => table.row([messages::UNREADABLE_LINE.to_owned()]),
            }
        }
        output::table(&table)
    }

    fn directory(&self) -> Result<PathBuf, Failure> {
        match (&self.directory, &self.config) {
            (None, Some(config)) => Ok(Settings::read(config)?.audit.directory),
            (directory, _) => Ok(directory.clone().unwrap_or_default()),
        }
    }
}

/// Checkpoints have no action, and are of no interest here. A line that cannot be read is, unless one request is asked
/// for.
fn is_shown(line: &str, request: Option<&str>) -> bool {
    match (serde_json::from_str::<AuditLine>(line), request) {
        (Ok(AuditLine { action: None, .. }), _) => false,
        (Ok(line), Some(request)) => line.request_id.is_some_and(|id| id.ends_with(request)),
        (Ok(_), None) => true,
        (Err(_), request) => request.is_none(),
    }
}

impl AuditLine {
    fn cells(self) -> [String; 6] {
        let outcome = [self.outcome, self.reason].into_iter().flatten().collect::<Vec<_>>().join(": ");
        // A summary of strangers' requests names their source.
        let source = self.source.filter(|_| self.count.is_some());
        let who = self.subject.map(|subject| subject.sub).or(self.token).or(source);
        let what = [
            self.count.map(messages::requests),
            self.app_name.map(|app| format!("app {app}")),
            self.version.map(|version| format!("version {version}")),
            self.secrets.map(|secrets| secrets.to_text()),
            self.secret_key.map(|label| format!("key {label}")),
            self.machine.map(|machine| format!("Machine {machine}")),
            self.host.map(|host| format!("host {host}")),
            self.detail,
        ];
        [
            self.time.unwrap_or_default(),
            self.request_id.unwrap_or_default(),
            self.action.unwrap_or_default(),
            outcome,
            who.unwrap_or_default(),
            what.into_iter().flatten().collect::<Vec<_>>().join(", "),
        ]
    }
}

impl Secrets {
    fn to_text(&self) -> String {
        match (self.count, self.names.first()) {
            (1, Some(name)) => name.clone(),
            (count, _) => format!("{count} secrets"),
        }
    }
}

/// The log is a sequence of files; each ends with the zeros of its unused preallocated space. The newest file is read
/// first, and older ones only as far as needed.
fn last_lines(
    directory: &Path,
    count: usize,
    is_wanted: impl Fn(&str) -> bool,
) -> Result<VecDeque<String>, Failure> {
    let failed = |error| messages::audit_log_unreadable(directory, &error);
    let mut segments: Vec<PathBuf> = std::fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(failed)?;
    segments.retain(|path| is_segment(path));
    if segments.is_empty() {
        return Err(messages::no_audit_log(directory));
    }
    segments.sort();
    let mut all = VecDeque::new();
    while let Some(path) = segments.pop().filter(|_| all.len() < count) {
        let mut last = VecDeque::new();
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let mut line = Vec::new();
        while file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(failed)? > 0 {
            if line.first() != Some(&b'{') {
                break;
            }
            let text = String::from_utf8_lossy(line.trim_ascii_end());
            if is_wanted(&text) {
                last.push_back(text.into_owned());
            }
            if last.len() + all.len() > count {
                last.pop_front();
            }
            line.clear();
        }
        last.append(&mut all);
        all = last;
    }
    Ok(all)
}

fn is_segment(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.strip_prefix("audit-").is_some_and(|rest| rest.ends_with(".log"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_lines_are_those_before_the_zeros_of_the_last_file() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &[u8]| std::fs::write(directory.path().join(name), text).unwrap();
        write("audit-00000002.log", b"{\"n\":3}\n{\"n\":4}\n\0\0\0\0");
        write("audit-00000001.log", b"{\"n\":1}\n{\"n\":2}\n");
        write("audit-00000003.log", &[0; 100]);
        write("node", b"{\"n\":9}\n");
        let last = |count, wanted: fn(&str) -> bool| last_lines(directory.path(), count, wanted).unwrap();
        assert_eq!(last(3, |_| true), ["{\"n\":2}", "{\"n\":3}", "{\"n\":4}"]);
        assert_eq!(last(9, |_| true).len(), 4);
        assert_eq!(last(2, |line| !line.contains('3')), ["{\"n\":2}", "{\"n\":4}"]);
        assert_eq!(last(0, |_| true), [""; 0]);
    }

    #[test]
    fn checkpoints_are_not_shown_and_a_request_is_found_by_the_end_of_its_id() {
        let line = r#"{"n":7,"request_id":"0199a0c2-7b1e","action":"boot"}"#;
        assert!(
            is_shown(line, None) && is_shown(line, Some("0199a0c2-7b1e")) && is_shown(line, Some("7b1e"))
        );
        assert!(!is_shown(line, Some("0199a0c2")));
        assert!(!is_shown(r#"{"n":8,"checkpoint":{}}"#, None));
        assert!(is_shown("{torn", None) && !is_shown("{torn", Some("7b1e")));
    }

    #[test]
    fn a_directory_without_a_log_is_an_error_and_not_an_empty_log() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("petsem.db"), "x").unwrap();
        let failure = last_lines(directory.path(), 3, |_| true).unwrap_err();
        assert_eq!(failure.exit, crate::failure::Exit::Usage);
        assert!(failure.fact.ends_with("has no audit log: no file in it is named audit-….log"));
    }

    #[test]
    fn a_line_shows_principal_action_target_and_outcome() {
        let line: AuditLine = serde_json::from_str(
            r#"{"n":7,"t":"T","request_id":"R","action":"boot","outcome":"denied","reason":"revoked","token":"id",
                "app_name":"shop","machine":"m1","host":"h1","secrets":{"count":2,"names":["A","B"]}}"#,
        )
        .unwrap();
        assert_eq!(
            line.cells(),
            ["T", "R", "boot", "denied: revoked", "id", "app shop, 2 secrets, Machine m1, host h1"]
        );
    }
}
