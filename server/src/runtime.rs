//! The runtime of boots: a worker for each core, which stays there.
//!
//! Beside busy threads of lower priority, the kernel (6.18, two cores) left all workers on one core for up to 300 ms,
//! because it balances cores only now and then. A worker that cannot be moved interrupts those threads on its own core.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

/// Starts the runtime in which a server runs.
pub fn runtime() -> io::Result<Runtime> {
    let workers = std::thread::available_parallelism()?.get();
    // The kernel refuses this on machines with more cores than a set has.
    let allowed = sched_getaffinity(None).unwrap_or_default();
    let mut cores = numbers(&allowed);
    // A quota allows fewer workers than cores: one that stays could not use another core that is idle.
    if cores.len() != workers {
        cores.clear();
    }
    let next = AtomicUsize::new(0);
    let (started, wait_for_start) = mpsc::channel();
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("boots")
        .on_thread_start(move || {
            // The first threads are the workers. Others inherit the cores of the thread that starts them.
            let own = cores.get(next.fetch_add(1, Ordering::Relaxed));
            let chosen = own.map_or(allowed, |core| only(*core));
            if !cores.is_empty()
                && let Err(error) = sched_setaffinity(None, &chosen)
            {
                tracing::warn!(%error, "a thread of boots cannot choose its core");
            }
            // Nobody waits for threads that start later.
            let _ = started.send(());
        })
        .enable_all()
        .build()?;
    // Before a worker runs anything that starts another thread.
    for _ in 0..workers {
        wait_for_start.recv().map_err(io::Error::other)?;
    }
    Ok(runtime)
}

fn numbers(cores: &CpuSet) -> Vec<usize> {
    (0..CpuSet::MAX_CPU).filter(|core| cores.is_set(*core)).collect()
}

fn only(core: usize) -> CpuSet {
    let mut cores = CpuSet::new();
    cores.set(core);
    cores
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Barrier};

    use super::*;

    fn cores() -> Vec<usize> {
        numbers(&sched_getaffinity(None).unwrap())
    }

    #[test]
    fn each_worker_has_a_core_of_its_own_and_other_threads_have_all() {
        let (all, workers) = (cores(), std::thread::available_parallelism().unwrap().get());
        let runtime = runtime().unwrap();
        // A task that waits for all others occupies its worker.
        let together = Arc::new(Barrier::new(workers));
        let tasks: Vec<_> = (0..workers)
            .map(|_| {
                let together = together.clone();
                runtime.spawn(async move {
                    together.wait();
                    (cores(), tokio::task::spawn_blocking(cores).await.unwrap())
                })
            })
            .collect();
        let found: Vec<_> = tasks.into_iter().map(|task| runtime.block_on(task).unwrap()).collect();
        assert!(found.iter().all(|(_, blocking)| *blocking == all), "{found:?}");
        let mut own: Vec<_> = found.into_iter().map(|(own, _)| own).collect();
        own.sort();
        let expected: Vec<_> = all.iter().map(|core| vec![*core]).collect();
        assert_eq!(own, if all.len() == workers { expected } else { vec![all; workers] });
    }
}
