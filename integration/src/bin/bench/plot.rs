//! An SVG of a file of results: for each case the servers' dots on logarithmic scales; for the long case its course.

use std::fmt::Write as _;

use serde_json::Value;

const WIDTH: f64 = 1080.0;
/// Where the panels begin, after the names of the cases.
const LEFT: f64 = 110.0;
const ROW: f64 = 30.0;
const TOP: f64 = 92.0;
const GAP: f64 = 34.0;
/// The height of the course of a long run.
const COURSE: f64 = 160.0;
/// What the panels show: the name in JSON, the heading, the unit.
const PANELS: [(&str, &str, f64); 3] = [
    ("requests_per_second", "requests/s", 1.0),
    ("p99_us", "p99, ms", 1e3),
    ("cpu_us_per_request", "CPU µs/request", 1.0),
];
const SERVERS: [(&str, &str); 3] = [("bare", "#8a8a8a"), ("petsem", "#0b62c4"), ("peer", "#c4610b")];

/// The plot of these results.
pub(crate) fn svg(results: &Value) -> String {
    let cases = results.get("cases").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let samples = results.pointer("/long/samples").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let rows_end = TOP + ROW * cases.len() as f64;
    let course_top = if cases.is_empty() { TOP } else { rows_end + 70.0 };
    let height = if samples.is_empty() { rows_end + 30.0 } else { course_top + COURSE + 40.0 };
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" font-family=\"sans-serif\" \
         font-size=\"12\" fill=\"#222\">\n<rect width=\"{WIDTH}\" height=\"{height}\" fill=\"#fff\"/>\n"
    );
    text(&mut svg, (10.0, 24.0), "start", &title(results));
    let mut at = 10.0;
    let has_peer = cases.iter().any(|case| case.pointer("/servers/2").is_some());
    for (name, color) in SERVERS.into_iter().take(if has_peer { 3 } else { 2 }) {
        // Here and below: writing to a String does not fail.
        let _ = writeln!(svg, "<circle cx=\"{:.1}\" cy=\"40\" r=\"5\" fill=\"{color}\"/>", at + 5.0);
        text(&mut svg, (at + 14.0, 44.0), "start", name);
        at += 76.0;
    }
    if !cases.is_empty() {
        let width = (WIDTH - LEFT - GAP) / PANELS.len() as f64 - GAP;
        for (row, case) in cases.iter().enumerate() {
            text(&mut svg, (10.0, middle(row) + 4.0), "start", text_of(case, "name"));
        }
        for (place, panel) in PANELS.iter().enumerate() {
            dots(&mut svg, cases, *panel, LEFT + (width + GAP) * place as f64, width);
        }
    }
    if !samples.is_empty() {
        let width = WIDTH / 2.0 - 50.0 - GAP;
        course(&mut svg, samples, ("p99_us", "p99, ms, by minutes", 1e3), (50.0, course_top), width);
        let memory = ("rss_anon_kib", "RssAnon, MiB, by minutes", 1024.0);
        course(&mut svg, samples, memory, (WIDTH / 2.0 + 40.0, course_top), width);
    }
    svg.push_str("</svg>\n");
    svg
}

fn title(results: &Value) -> String {
    let machine = |name: &str| results.pointer(&format!("/machine/{name}")).map(shown).unwrap_or_default();
    format!(
        "{} at {}, {}: {} cores of {}, {} apps",
        text_of(results, "binary"),
        text_of(results, "commit"),
        text_of(results, "date"),
        machine("cores"),
        machine("cpu"),
        results.get("apps").map(shown).unwrap_or_default(),
    )
}

/// One panel: a logarithmic scale from the power of ten below to that above.
fn dots(svg: &mut String, cases: &[Value], panel: (&str, &str, f64), left: f64, width: f64) {
    let (metric, heading, unit) = panel;
    let value = |case: &Value, server: &str| {
        let servers = case.get("servers")?.as_array()?;
        let found = servers.iter().find(|found| text_of(found, "name") == server)?;
        found
            .pointer(&format!("/median/{metric}"))?
            .as_f64()
            .filter(|value| *value > 0.0)
            .map(|value| value / unit)
    };
    let all: Vec<f64> =
        cases.iter().flat_map(|case| SERVERS.iter().filter_map(|(name, _)| value(case, name))).collect();
    let low = all.iter().copied().fold(f64::INFINITY, f64::min).log10().floor();
    let high = all.iter().copied().fold(0.0, f64::max).log10().ceil().max(low + 1.0);
    if !low.is_finite() {
        return;
    }
    let place = |value: f64| left + width * (value.log10() - low) / (high - low);
    text(svg, (left, TOP - 22.0), "start", heading);
    let bottom = TOP + ROW * cases.len() as f64;
    for power in low as i32..=high as i32 {
        let x = place(10f64.powi(power));
        let _ =
            writeln!(svg, "<line x1=\"{x:.1}\" y1=\"{TOP}\" x2=\"{x:.1}\" y2=\"{bottom}\" stroke=\"#ddd\"/>");
        text(svg, (x, TOP - 5.0), "middle", &number(10f64.powi(power)));
    }
    for (row, case) in cases.iter().enumerate() {
        let y = middle(row);
        let found: Vec<_> =
            SERVERS.iter().filter_map(|(name, color)| Some((*name, *color, value(case, name)?))).collect();
        let places: Vec<f64> = found.iter().map(|(.., value)| place(*value)).collect();
        let first = places.iter().copied().fold(f64::INFINITY, f64::min);
        let last = places.iter().copied().fold(0.0, f64::max);
        let _ =
            writeln!(svg, "<line x1=\"{first:.1}\" y1=\"{y}\" x2=\"{last:.1}\" y2=\"{y}\" stroke=\"#bbb\"/>");
        for (name, color, value) in found {
            let x = place(value);
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y}\" r=\"5\" fill=\"{color}\"/>");
            if name == "petsem" {
                text(svg, (x, y - 8.0), "middle", &number(value));
            }
        }
    }
}

/// The course of a metric over a long run, from zero.
fn course(svg: &mut String, samples: &[Value], panel: (&str, &str, f64), corner: (f64, f64), width: f64) {
    let (metric, heading, unit) = panel;
    let (left, top) = corner;
    let points: Vec<(f64, f64)> = samples
        .iter()
        .filter_map(|sample| Some((sample.get("minute")?.as_f64()?, sample.get(metric)?.as_f64()? / unit)))
        .collect();
    let longest = points.iter().map(|(minute, _)| *minute).fold(0.1, f64::max);
    let most = points.iter().map(|(_, value)| *value).fold(0.1, f64::max) * 1.1;
    text(svg, (left, top - 10.0), "start", heading);
    let bottom = top + COURSE;
    for part in [0.0, 0.5, 1.0] {
        let y = bottom - COURSE * part;
        let end = left + width;
        let _ = writeln!(svg, "<line x1=\"{left}\" y1=\"{y}\" x2=\"{end:.1}\" y2=\"{y}\" stroke=\"#ddd\"/>");
        text(svg, (left - 5.0, y + 4.0), "end", &number(most * part));
        text(svg, (left + width * part, bottom + 16.0), "middle", &number(longest * part));
    }
    let line: Vec<String> = points
        .iter()
        .map(|(minute, value)| {
            format!("{:.1},{:.1}", left + width * minute / longest, bottom - COURSE * value / most)
        })
        .collect();
    let _ = writeln!(
        svg,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"#0b62c4\" stroke-width=\"2\"/>",
        line.join(" ")
    );
}

fn middle(row: usize) -> f64 {
    TOP + ROW * (row as f64 + 0.6)
}

fn text(svg: &mut String, at: (f64, f64), anchor: &str, text: &str) {
    let text = text.replace('&', "&amp;").replace('<', "&lt;");
    let _ = writeln!(svg, "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{text}</text>", at.0, at.1);
}

fn text_of<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

fn shown(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// A number as short as a label.
fn number(value: f64) -> String {
    match value {
        value if value >= 10_000.0 => format!("{:.0}k", value / 1000.0),
        value if value >= 1_000.0 => format!("{:.1}k", value / 1000.0),
        value if value >= 10.0 => format!("{value:.0}"),
        value if value >= 1.0 => format!("{value:.1}"),
        0.0 => "0".to_owned(),
        value => format!("{value:.2}"),
    }
}
