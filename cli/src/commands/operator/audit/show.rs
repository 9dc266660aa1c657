//! `petsem operator audit show`.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Deserialize;

use crate::failure::Failure;
use crate::messages;
use crate::output::{self, Table};

/// Longest line that is read, in bytes; the server writes shorter ones.
const MAX_LINE: u64 = 256 * 1024;

/// Show the last lines of an audit log
///
/// It reads the files, also beside a running server, and verifies nothing: `petsem operator audit verify` does that.
#[derive(Args)]
pub(crate) struct Show {
    /// The log's directory
    #[arg(value_name = "DIRECTORY")]
    directory: PathBuf,

    /// The number of lines, from the end
    #[arg(long, value_name = "COUNT", default_value_t = 20)]
    last: usize,

    /// Print the lines unchanged, one JSON object each
    #[arg(long)]
    json: bool,
}

/// The fields of a line that are shown, if present.
#[derive(Deserialize)]
struct AuditLine {
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
        let lines = last_lines(&self.directory, self.last)?;
        if self.json {
            return lines.iter().try_for_each(|line| output::stored_json(line));
        }
        let mut table = Table::new(&["TIME", "ACTION", "OUTCOME", "WHO", "WHAT"]);
        for line in &lines {
            match serde_json::from_str::<AuditLine>(line) {
                // Checkpoints have no action, and are of no interest here.
                Ok(AuditLine { action: None, .. }) => {}
                Ok(line) => table.row(line.cells()),
                Err(_) => table.row([messages::UNREADABLE_LINE.to_owned()]),
            }
        }
        output::table(&table)
    }
}

impl AuditLine {
    fn cells(self) -> [String; 5] {
        let outcome = [self.outcome, self.reason].into_iter().flatten().collect::<Vec<_>>().join(": ");
        // A summary of strangers' requests names their source.
        let source = self.source.filter(|_| self.count.is_some());
        let who = self.subject.map(|subject| subject.sub).or(self.token).or(source);
        let what = [
            self.count.map(|count| format!("{count} requests")),
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

/// The log is a sequence of files; each ends with the zeros of its unused preallocated space.
fn last_lines(directory: &Path, count: usize) -> Result<VecDeque<String>, Failure> {
    let failed = |error| messages::audit_log_unreadable(directory, &error);
    let mut segments: Vec<PathBuf> = std::fs::read_dir(directory)
        .and_then(|entries| entries.map(|entry| entry.map(|entry| entry.path())).collect())
        .map_err(failed)?;
    segments.retain(|path| is_segment(path));
    if segments.is_empty() {
        return Err(messages::no_audit_log(directory));
    }
    segments.sort();
    let mut last = VecDeque::new();
    for path in segments {
        let mut file = BufReader::new(File::open(path).map_err(failed)?);
        let mut line = Vec::new();
        while file.by_ref().take(MAX_LINE).read_until(b'\n', &mut line).map_err(failed)? > 0 {
            if line.first() != Some(&b'{') {
                break;
            }
            last.push_back(String::from_utf8_lossy(line.trim_ascii_end()).into_owned());
            if last.len() > count {
                last.pop_front();
            }
            line.clear();
        }
    }
    Ok(last)
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
        assert_eq!(last_lines(directory.path(), 3).unwrap(), ["{\"n\":2}", "{\"n\":3}", "{\"n\":4}"]);
    }

    #[test]
    fn a_directory_without_a_log_is_an_error_and_not_an_empty_log() {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("petsem.db"), "x").unwrap();
        let failure = last_lines(directory.path(), 3).unwrap_err();
        assert_eq!(failure.exit, crate::failure::Exit::Usage);
        assert!(failure.fact.ends_with("has no audit log: no file in it is named audit-….log"));
    }

    #[test]
    fn a_line_shows_principal_action_target_and_outcome() {
        let line: AuditLine = serde_json::from_str(
            r#"{"n":7,"t":"T","action":"boot","outcome":"denied","reason":"revoked","token":"id",
                "app_name":"shop","machine":"m1","host":"h1","secrets":{"count":2,"names":["A","B"]}}"#,
        )
        .unwrap();
        assert_eq!(
            line.cells(),
            ["T", "boot", "denied: revoked", "id", "app shop, 2 secrets, Machine m1, host h1"]
        );
    }
}
