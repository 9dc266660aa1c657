//! The runtime of boots: a worker for each core, which stays there.
//!
//! Beside busy threads of lower priority, the kernel (6.18, two cores) kept all workers on one core for 300 ms, and gave
//! the other core to those: it moves threads for balance only every so often. A worker that cannot be moved interrupts
//! them on its own core.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use tokio::runtime::{Builder, Runtime};

/// Starts the runtime in which a server runs.
pub fn runtime() -> io::Result<Runtime> {
    let workers = std::thread::available_parallelism()?.get();
    let allowed = sched_getaffinity(None)?;
    let cores: Vec<_> = (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect();
    // A quota allows fewer workers than cores: then none of the cores is better than another.
    let free = if cores.len() == workers { cores } else { Vec::new() };
    let free = Arc::new(Mutex::new(free));
    let (started, wait_for_start) = mpsc::channel();
    let runtime = Builder::new_multi_thread()
        .worker_threads(workers)
        .thread_name("boots")
        .on_thread_start(move || {
            // The first threads are the workers. Others inherit the cores of the thread that starts them.
            let own = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let cores = own.map_or(allowed, only);
            if let Err(error) = sched_setaffinity(None, &cores) {
                tracing::warn!(%error, "a thread of boots cannot choose its core");
            }
            // Nobody waits for threads that start later.
            let _ = started.send(());
        })
        .enable_all()
        .build()?;
    for _ in 0..workers {
        wait_for_start.recv().map_err(io::Error::other)?;
    }
    Ok(runtime)
}

fn only(core: usize) -> CpuSet {
    let mut cores = CpuSet::new();
    cores.set(core);
    cores
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;

    fn cores() -> Vec<usize> {
        let allowed = sched_getaffinity(None).unwrap();
        (0..CpuSet::MAX_CPU).filter(|core| allowed.is_set(*core)).collect()
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
