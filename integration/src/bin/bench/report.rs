//! The results: a table to read, JSON to keep.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::cases::Case;
use crate::load::Measured;

/// What is compared: the name in JSON, the value of a round, the heading of the table, and its unit there.
const METRICS: [Metric; 5] = [
    Metric {
        name: "requests_per_second",
        heading: "requests/s",
        unit: 1.0,
        of: |round| Some(round.requests_per_second),
    },
    Metric { name: "p50_us", heading: "p50 ms", unit: 1e3, of: |round| Some(round.p50_us) },
    Metric { name: "p99_us", heading: "p99 ms", unit: 1e3, of: |round| Some(round.p99_us) },
    Metric { name: "cpu_us_per_request", heading: "CPU µs/request", unit: 1.0, of: |round| round.cpu_us },
    Metric {
        name: "rss_anon_kib",
        heading: "RssAnon MiB",
        unit: 1024.0,
        of: |round| round.anonymous_kib.map(|kib| kib as f64),
    },
];

/// The share of the CPU that others may use before a round counts as disturbed.
const DISTURBED: f64 = 0.1;

struct Metric {
    name: &'static str,
    heading: &'static str,
    unit: f64,
    of: fn(&Measured) -> Option<f64>,
}

/// The rounds of one server in a case.
pub(crate) struct ServerRounds {
    pub(crate) name: &'static str,
    pub(crate) answer_bytes: usize,
    pub(crate) rounds: Vec<Measured>,
}

/// A case with the rounds of each server; the first server is the bare one.
pub(crate) struct CaseRounds {
    pub(crate) case: &'static Case,
    pub(crate) servers: Vec<ServerRounds>,
}

impl ServerRounds {
    fn median(&self, metric: &Metric) -> Option<f64> {
        median(self.rounds.iter().map(metric.of).collect::<Option<_>>()?)
    }

    /// By rounds, because both servers of a round meet the same neighbors.
    fn ratios(&self, bare: &Self, metric: &Metric) -> Option<Vec<f64>> {
        let ratio = |(own, bare): (&Measured, &Measured)| Some((metric.of)(own)? / (metric.of)(bare)?);
        self.rounds.iter().zip(&bare.rounds).map(ratio).collect()
    }

    fn json(&self, bare: Option<&Self>) -> Value {
        let medians: Map<_, _> =
            METRICS.iter().map(|metric| (metric.name.to_owned(), rounded(self.median(metric)))).collect();
        let mut all = json!({
            "name": self.name,
            "answer_bytes": self.answer_bytes,
            "median": medians,
            "rounds": self.rounds.iter().map(json_of).collect::<Vec<_>>(),
        });
        if let (Some(bare), Some(all)) = (bare, all.as_object_mut()) {
            let ratio = |metric: &Metric| {
                let ratios = self.ratios(bare, metric)?;
                let least = ratios.iter().copied().reduce(f64::min);
                let most = ratios.iter().copied().reduce(f64::max);
                let ratios = json!({"median": rounded(median(ratios)), "least": rounded(least), "most": rounded(most)});
                Some((metric.name.to_owned(), ratios))
            };
            all.insert("ratio_to_bare".to_owned(), METRICS.iter().filter_map(ratio).collect());
        }
        all
    }
}

impl CaseRounds {
    pub(crate) fn json(&self) -> Value {
        let servers = self.servers.iter().enumerate();
        let servers: Vec<_> =
            servers.map(|(place, server)| server.json(self.servers.first().filter(|_| place > 0))).collect();
        json!({
            "name": self.case.name,
            "about": self.case.about,
            "connections": self.case.connections,
            "settings": self.case.settings,
            "servers": servers,
        })
    }

    /// The lines of the table.
    pub(crate) fn lines(&self) -> String {
        let mut lines = String::new();
        for (place, server) in self.servers.iter().enumerate() {
            let name = if place == 0 { self.case.name } else { "" };
            // Here and below: writing to a String does not fail.
            let _ = write!(lines, "{name:<12} {:<7}", server.name);
            for metric in &METRICS {
                let value = server.median(metric).map_or("-".to_owned(), |value| shown(value / metric.unit));
                let ratio = self.servers.first().filter(|_| place > 0).and_then(|bare| {
                    let ratio = median(server.ratios(bare, metric)?)?;
                    Some(format!("({ratio:.2})"))
                });
                let _ = write!(lines, " {value:>9} {:>8}", ratio.unwrap_or_default());
            }
            lines.push('\n');
        }
        let others = self.servers.iter().flat_map(|server| &server.rounds).map(|round| round.others);
        let most = others.fold(0.0, f64::max);
        if most > DISTURBED {
            let _ = writeln!(lines, "{:<12} other processes used up to {:.0} % of the CPU", "", most * 100.0);
        }
        lines
    }
}

/// The head of the table.
pub(crate) fn head() -> String {
    let mut head = format!("{:<12} {:<7}", "case", "server");
    for metric in &METRICS {
        let _ = write!(head, " {:>18}", metric.heading);
    }
    head
}

/// One round in JSON.
pub(crate) fn json_of(round: &Measured) -> Value {
    let mut all: Map<_, _> =
        METRICS.iter().map(|metric| (metric.name.to_owned(), rounded((metric.of)(round)))).collect();
    all.insert("requests".to_owned(), round.requests.into());
    all.insert("longest_us".to_owned(), rounded(Some(round.longest_us)));
    all.insert("cpu_share_of_others".to_owned(), rounded(Some(round.others)));
    Value::Object(all)
}

/// A number with three digits.
fn shown(value: f64) -> String {
    match value {
        value if value >= 100.0 => {
            let digits = format!("{value:.0}");
            match digits.split_at(digits.len().saturating_sub(3)) {
                ("", all) => all.to_owned(),
                (thousands, rest) => format!("{thousands},{rest}"),
            }
        }
        value if value >= 10.0 => format!("{value:.1}"),
        value => format!("{value:.2}"),
    }
}

fn rounded(value: Option<f64>) -> Value {
    value.map_or(Value::Null, |value| json!((value * 1000.0).round() / 1000.0))
}

/// The median.
pub(crate) fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    let lower = *values.get(values.len().saturating_sub(1) / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// Unix seconds as RFC 3339.
pub(crate) fn date(unix_seconds: i64) -> String {
    let date = OffsetDateTime::from_unix_timestamp(unix_seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH);
    date.format(&Rfc3339).unwrap_or_default()
}

/// How the two ends of a long run compare: medians of its first and its last third.
pub(crate) fn ends(samples: &[Measured], of: impl Fn(&Measured) -> f64) -> (f64, f64) {
    let third = (samples.len() / 3).max(1);
    let middle = |part: &[Measured]| median(part.iter().map(&of).collect()).unwrap_or_default();
    let (first, last) = (samples.get(..third), samples.get(samples.len().saturating_sub(third)..));
    (middle(first.unwrap_or_default()), middle(last.unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_thousands() {
        let all = [0.456, 9.0, 12.34, 100.0, 999.4, 12_345.6];
        assert_eq!(all.map(shown), ["0.46", "9.00", "12.3", "100", "999", "12,346"]);
    }

    #[test]
    fn the_median_is_the_middle_or_between_two() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn dates_are_rfc_3339() {
        assert_eq!(date(1_700_000_000), "2023-11-14T22:13:20Z");
    }
}
