//! Starts with stores of several sizes: the time from exec to the first 200 of `/readyz`, and the memory when idle.
//!
//! The rows are copies of one app's under other ids, written through the store, because a million apps over HTTP would
//! take hours. Their MACs do not verify: a start that read one of them would fail.

use std::time::Duration;

use futures_util::future::join_all;
use petsem_api::{AppId, RequestId};
use petsem_integration::http::Request;
use petsem_integration::pause;
use petsem_integration::server::Server;
use petsem_store::{
    AppPart, Change, PartRows, Record, RecordKind, RequestAudit, SqliteOptions, SqliteStore, Store,
    StoreFuture,
};

use crate::cases::{Case, Span};
use crate::data;
use crate::failure::Failure;
use crate::machine;

pub(super) const CASES: &[Case] = &[Case {
    span: Span::Starts,
    ..Case::new(
        "start",
        "exec to ready, and idle memory, with 1,000 and 100,000 apps; --apps N: with N",
        |_| Ok(Vec::new()),
    )
}];

/// Starts of each size; the first does not count.
const STARTS: usize = 12;
/// Apps in one change.
const AT_ONCE: usize = 500;
/// How long a server may take to be ready.
const PATIENCE: Duration = Duration::from_secs(60);
/// How long a server is idle before its memory is read.
const IDLE: Duration = Duration::from_secs(2);

/// Measures starts with so many apps; returns the line of the results.
pub(crate) fn measure(apps: usize) -> Result<String, Failure> {
    let store = data::Store::open(None, 1)?;
    grow(&store, apps)?;
    let mebibytes = data::database_bytes(&store.installation) / (1 << 20);
    let mut starts = Vec::new();
    let mut memory = 0.0;
    for number in 0..=STARTS {
        let begun = data::clock();
        let server = store.start("")?;
        until_ready(&server)?;
        starts.push(begun.elapsed().as_secs_f64() * 1e3);
        if number == STARTS {
            pause(IDLE);
            memory = machine::anonymous_kib(server.id()).unwrap_or_default() as f64 / 1024.0;
        }
        data::stop(server)?;
    }
    let mut starts = starts.split_off(1);
    starts.sort_by(f64::total_cmp);
    let at = |part: f64| starts.get((part * (starts.len() - 1) as f64) as usize).copied().unwrap_or_default();
    Ok(format!(
        "start        {apps:>9} apps, {mebibytes} MiB: {:.1} ms to ready ({:.1} to {:.1}), RssAnon idle {memory:.1} MiB",
        at(0.5),
        at(0.0),
        at(1.0)
    ))
}

fn until_ready(server: &Server) -> Result<(), Failure> {
    let begun = data::clock();
    while begun.elapsed() < PATIENCE {
        if Request::new("GET", "/readyz").send(server.address()).status == 200 {
            return Ok(());
        }
        pause(Duration::from_millis(1));
    }
    Err(Failure::new(format!("petsem is not ready: {}", server.printed()), "see what it says"))
}

/// Copies the rows of the only app until there are `apps`.
fn grow(store: &data::Store, apps: usize) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::system("a runtime", &error))?;
    let options = SqliteOptions::new(store.installation.path("data"));
    let rng = Box::new(rand_core::UnwrapErr(getrandom::SysRng));
    let opened = SqliteStore::open(&options, rng).map_err(|error| Failure::system("the store", &error))?;
    runtime.block_on(async {
        copy_rows(&opened, store, apps).await?;
        Store::close(&opened).await.map_err(|error| Failure::system("the store", &error))
    })
}

async fn copy_rows(opened: &SqliteStore, store: &data::Store, apps: usize) -> Result<(), Failure> {
    let failed = |error: &dyn std::fmt::Display| Failure::system("the store", error);
    let Some(app) = store.apps.first().copied() else { return Ok(()) };
    let rows = opened.app(app, AppPart::Secrets).await.map_err(|error| failed(&error))?;
    let Some(rows) = rows else { return Err(failed(&"the app is missing")) };
    let PartRows::Secrets { policy, bundle } = &rows.part else {
        return Err(failed(&"it returned another part of the app"));
    };
    let one = async |kind| {
        let page = opened.records(kind, &[], None, 1).await.map_err(|error| failed(&error))?;
        page.into_iter().next().ok_or_else(|| failed(&"a row is missing"))
    };
    let (name, of_org) = (one(RecordKind::AppName).await?, one(RecordKind::OrgApp).await?);
    let with_id = |record: &Record, id: Vec<u8>| Record { id, ..record.clone() };
    // A node that does not exist: the server's own would write an audit line for each change.
    let request =
        RequestAudit { node: [0; 16], request_id: RequestId::from_bytes([0; 16]), line: Vec::new() };
    for first in (1..apps).step_by(AT_ONCE) {
        let mut changes: Vec<StoreFuture<'_, _>> = Vec::new();
        for number in first..apps.min(first + AT_ONCE) {
            let id = AppId::from_bytes((u128::MAX / apps as u128 * number as u128).to_be_bytes());
            let org = of_org.id.get(..16).unwrap_or_default();
            let mut puts = vec![
                with_id(&rows.head, id.as_bytes().to_vec()),
                with_id(&name, format!("copy-{number}").into_bytes()),
                with_id(&of_org, [org, id.as_bytes()].concat()),
            ];
            puts.extend(policy.iter().map(|policy| with_id(policy, id.as_bytes().to_vec())));
            let bundle = bundle.clone().map(|bundle| petsem_store::BundleRow { app: id, ..bundle });
            changes.push(opened.commit(Change { puts, bundle, ..Change::new(request.clone()) }));
        }
        let mut revisions = Vec::new();
        // All at once, so that they share transactions.
        for committed in join_all(changes).await {
            revisions.push(committed.map_err(|error| failed(&error))?.revision);
        }
        opened.audited(request.node, &revisions);
    }
    Ok(())
}
