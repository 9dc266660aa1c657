//! The conformance suite of every store ([`conformance`]) on real SQLite files, and tests of SQLite's own
//! faults.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "tests may fail loudly")]

mod conformance;
mod files;
mod kill;
mod rows;
mod writing;

use std::path::Path;
use std::sync::Arc;

use petsem_store::{OpenError, SqliteOptions, SqliteStore, Store};

use crate::conformance::Place;

/// A SQLite store in a temporary directory.
struct SqlitePlace {
    directory: tempfile::TempDir,
}

impl SqlitePlace {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }
}

impl Place for SqlitePlace {
    fn open(&self) -> Arc<dyn Store> {
        Arc::new(open(self.directory.path()).unwrap())
    }
}

fn open(directory: &Path) -> Result<SqliteStore, OpenError> {
    open_with(&SqliteOptions::new(directory))
}

fn open_with(options: &SqliteOptions) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(options, Box::new(rand_core::UnwrapErr(getrandom::SysRng)))
}

/// One test for each fact of the suite.
macro_rules! sqlite {
    ($($fact:ident)*) => {
        mod sqlite {
            $(
                #[tokio::test]
                async fn $fact() {
                    crate::conformance::$fact(&crate::SqlitePlace::new()).await;
                }
            )*
        }
    };
}

sqlite! {
    a_change_is_read_back_whole
    a_stale_expectation_applies_nothing
    a_row_that_is_expected_to_be_absent_is_created_once
    exactly_one_of_many_writers_of_a_version_succeeds
    changes_that_wait_together_share_a_transaction
    a_conflict_in_a_group_fails_only_its_own_change
    revisions_rise_and_marks_differ
    a_held_mark_and_all_after_it_are_kept
    the_feed_has_no_gaps
    changed_heads_come_once_and_in_the_order_of_their_changes
    a_cursor_of_another_store_or_of_a_later_state_is_unknown
    history_keeps_as_many_values_as_the_change_says
    a_value_is_found_by_its_exact_version
    pages_of_an_apps_values_have_each_value_once
    a_value_written_in_place_removes_no_history
    deleting_an_app_deletes_only_its_bundle_and_values
    deletes_are_applied_before_puts
    an_app_is_read_with_the_part_that_is_asked_for
    a_part_is_read_only_under_the_head_that_was_read
    an_app_is_found_by_its_name_in_one_snapshot
    pages_of_a_prefix_have_every_id_once
    a_change_stays_unaudited_until_it_is_reported
    readers_see_only_whole_changes
    a_reopened_store_has_every_acknowledged_change
    a_version_out_of_range_fails_only_its_own_change
    a_store_is_empty_until_it_has_a_record
    a_closed_store_is_unavailable_and_loses_no_change
}
