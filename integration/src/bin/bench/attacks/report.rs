//! The figures of a phase, as evidence keeps them, and what of the promises they break.

use super::audit_growth::Growth;
use super::boots::percentile;
use super::sender::Flood;
use super::{AUDIT_BYTES_PER_SECOND, Attack, MEMORY_MIB, MOST_SLOWER, Phase};

/// What boots leave in the log.
const OF_BOOTS: &str = "boot";

/// One line for what is sent.
pub(super) fn print_flood(flood: &Flood) {
    let sizes: Vec<_> = flood.messages.iter().map(|message| message.len().to_string()).collect();
    println!(
        "    {} ({:?}): {} at the start, then {:.0}/s, {} at once; of {} bytes, open for at most {} s",
        flood.name,
        flood.door,
        flood.first,
        flood.per_second,
        flood.at_once,
        sizes.join(", "),
        flood.holds.as_secs()
    );
}

/// The figures of a phase.
pub(super) fn print(phase: &Phase) {
    let booted = &phase.booted;
    println!("  {}: {:.0} s, {} boots, {} failed", phase.name, booted.seconds, booted.count, booted.failed());
    for (why, count) in &booted.failures {
        println!("    {count} boots failed: {why}");
    }
    for (what, latencies) in [("from due", &booted.from_due), ("from sending", &booted.from_sending)] {
        println!(
            "    ms {what}: p50 {:.2}, p99 {:.2}, longest {:.1}",
            percentile(latencies, 0.5),
            percentile(latencies, 0.99),
            percentile(latencies, 1.0)
        );
    }
    let health = &phase.health;
    println!(
        "    /healthz: {} answers, ms p50 {:.2}, p99 {:.2}, longest {:.1}; failed {:?}",
        health.latencies.len(),
        percentile(&health.latencies, 0.5),
        percentile(&health.latencies, 0.99),
        percentile(&health.latencies, 1.0),
        health.failures
    );
    println!(
        "    cores in use: petsem {:.2}, boots and attacker {:.2}, all others {:.2}",
        phase.cores,
        phase.own_cores,
        phase.others * std::thread::available_parallelism().map_or(1, usize::from) as f64
    );
    println!(
        "    resident memory of petsem: peak since its start {} MiB; at the end {} MiB not backed by files",
        phase.peak_kib / 1024,
        phase.memory_kib / 1024
    );
    println!("    audit log: {}", listed(&phase.growth));
    for ((flood, outcome), count) in &phase.seen {
        println!("    {flood}: {count} × {outcome}");
    }
}

fn listed(growth: &Growth) -> String {
    let lines: Vec<_> = growth
        .iter()
        .map(|(kind, (lines, bytes))| format!("{kind}: {lines} lines, {} KiB", bytes / 1024))
        .collect();
    lines.join("; ")
}

/// Bytes of lines that boots did not cause.
fn of_others(growth: &Growth) -> u64 {
    let others = growth.iter().filter(|(kind, _)| !kind.starts_with(&format!("{OF_BOOTS} ")));
    others.map(|(_, (_, bytes))| bytes).sum()
}

fn slower(alone: &Phase, beside: &Phase) -> [f64; 2] {
    [
        (&alone.booted.from_due, &beside.booted.from_due),
        (&alone.booted.from_sending, &beside.booted.from_sending),
    ]
    .map(|(alone, beside)| percentile(beside, 0.99) / percentile(alone, 0.99).max(0.001))
}

/// One line with the ratio of both phases.
pub(super) fn compare(alone: &Phase, beside: &Phase) {
    let [from_due, from_sending] = slower(alone, beside);
    println!("    p99 to that alone: {from_due:.2} from due, {from_sending:.2} from sending");
}

/// What of the promises a phase breaks; latencies only if it is compared with one alone.
pub(super) fn broken(attack: &Attack, phase: &Phase, alone: Option<&Phase>) -> Vec<String> {
    let mut broken = Vec::new();
    let mut must = |holds: bool, fact: String| {
        if !holds {
            broken.push(format!("{}, {}: {fact}", attack.name, phase.name));
        }
    };
    let failed = phase.booted.failed();
    must(failed == 0, format!("{failed} of {} boots failed", phase.booted.count));
    must(phase.booted.count > 0, "there were no boots".to_owned());
    must(
        phase.health.failures.is_empty() && !phase.health.latencies.is_empty(),
        format!("/healthz failed: {:?}", phase.health.failures),
    );
    let peak = phase.peak_kib;
    must(peak < MEMORY_MIB * 1024, format!("petsem held {peak} KiB; the bound is {MEMORY_MIB} MiB"));
    let bytes = of_others(&phase.growth);
    must(
        !attack.is_of_strangers || bytes as f64 <= AUDIT_BYTES_PER_SECOND * phase.booted.seconds,
        format!("the audit log grew by {} KiB beside the lines of boots", bytes / 1024),
    );
    if let Some(alone) = alone {
        let [from_due, _] = slower(alone, phase);
        must(from_due <= MOST_SLOWER, format!("the p99 of boots grew {from_due:.2} times"));
    }
    broken
}
