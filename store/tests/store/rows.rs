//! Rows to write. Contents differ in every version, because equal bytes would not be written.

use petsem_api::{AppId, RequestId};
use petsem_store::{
    AppRows, BundleRow, Change, Expect, FeedEntry, NewValue, PartRows, Record, RecordKind, RequestAudit,
    ValueRow,
};

pub(crate) const NODE: [u8; 16] = [7; 16];

pub(crate) fn app(number: u8) -> AppId {
    AppId::from_bytes([number; 16])
}

pub(crate) fn change() -> Change {
    change_of(RequestId::from_bytes([1; 16]), b"line")
}

pub(crate) fn change_of(request_id: RequestId, line: &[u8]) -> Change {
    Change::new(RequestAudit { node: NODE, request_id, line: line.to_vec() })
}

pub(crate) fn record(kind: RecordKind, id: &[u8], row_version: u64) -> Record {
    Record {
        kind,
        id: id.to_vec(),
        row_version,
        content: format!("content {row_version}").into_bytes(),
        mac: vec![u8::try_from(row_version % 251).unwrap(); 32],
    }
}

pub(crate) fn expect(kind: RecordKind, id: &[u8], row_version: u64) -> Expect {
    Expect { kind, id: id.to_vec(), row_version }
}

pub(crate) fn head(app: AppId, row_version: u64) -> Record {
    record(RecordKind::AppHead, app.as_bytes(), row_version)
}

/// What a boot reads of an app without a policy.
pub(crate) fn rows_of(number: u8, version: u64) -> AppRows {
    let bundle = Some(bundle(app(number), version));
    AppRows { head: head(app(number), version), part: PartRows::Secrets { policy: None, bundle } }
}

pub(crate) fn bundle(app: AppId, app_version: u64) -> BundleRow {
    BundleRow {
        app,
        app_version,
        wrapped_dek: format!("dek {app_version}").into_bytes(),
        ciphertext: format!("bundle {app_version}").into_bytes(),
    }
}

pub(crate) fn value(app: AppId, name: &str, app_version: u64) -> ValueRow {
    ValueRow {
        app,
        name: name.parse().unwrap(),
        app_version,
        wrapped_dek: format!("dek {name} {app_version}").into_bytes(),
        ciphertext: format!("value {name} {app_version}").into_bytes(),
    }
}

pub(crate) fn new_value(app: AppId, name: &str, app_version: u64, keep: u32) -> NewValue {
    NewValue { row: value(app, name, app_version), keep }
}

pub(crate) fn feed(number: u64) -> FeedEntry {
    FeedEntry { number, content: format!("entry {number}").into_bytes(), mac: vec![3; 32] }
}

/// An app's next version: head, bundle, and the values `A` and `B`, based on the previous version.
pub(crate) fn app_change(app: AppId, version: u64, keep: u32) -> Change {
    Change {
        expects: vec![expect(RecordKind::AppHead, app.as_bytes(), version - 1)],
        puts: vec![head(app, version)],
        bundle: Some(bundle(app, version)),
        values: vec![new_value(app, "A", version, keep), new_value(app, "B", version, keep)],
        ..change()
    }
}
