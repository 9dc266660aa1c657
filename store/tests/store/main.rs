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
    an_expected_absence_holds_once
    of_many_writers_on_one_version_one_wins
    changes_that_wait_together_share_a_transaction
    a_conflict_in_a_group_fails_alone
    revisions_have_no_gaps_and_marks_differ
    the_feed_has_no_gaps
    history_keeps_what_the_change_says
    a_value_is_found_by_its_exact_version
    pages_of_an_apps_values_hold_each_once
    a_value_written_in_place_takes_none_of_the_history
    deleting_an_app_takes_its_bundle_and_values_alone
    deletes_come_before_puts
    an_app_is_found_by_its_name_in_one_moment
    pages_of_a_prefix_hold_every_id_once
    a_change_stays_unaudited_until_it_is_reported
    readers_see_whole_changes_alone
    reopening_shows_what_was_acknowledged
    a_version_beyond_the_range_is_refused_alone
    a_store_is_empty_until_there_is_any_record
    a_closed_store_says_so
}
