//! The shared harness of the end-to-end tests. The tests themselves are in `tests/`.

#[expect(clippy::expect_used, reason = "a harness: what it cannot do fails the test")]
pub mod dev;
#[expect(clippy::expect_used, clippy::panic, reason = "a harness: what it cannot do fails the test")]
pub mod http;
#[expect(clippy::expect_used, reason = "a harness: what it cannot do fails the test")]
pub mod installation;
#[expect(clippy::expect_used, clippy::panic, reason = "a harness: what it cannot do fails the test")]
pub mod memory;
#[expect(clippy::expect_used, reason = "a harness: what it cannot do fails the test")]
pub mod page;
#[expect(clippy::expect_used, reason = "a harness: what it cannot do fails the test")]
pub mod platform;
#[expect(clippy::expect_used, reason = "a harness: what it cannot do fails the test")]
pub mod publisher;
#[expect(clippy::expect_used, clippy::panic, reason = "a harness: what it cannot do fails the test")]
pub mod seals;
#[expect(clippy::expect_used, clippy::panic, reason = "a harness: what it cannot do fails the test")]
pub mod server;
#[expect(clippy::expect_used, reason = "a harness: what it cannot do fails the test")]
pub mod store_keys;
pub mod vm;

/// Waits, where only time shows a fact.
pub fn pause(time: std::time::Duration) {
    #[expect(clippy::disallowed_methods, reason = "a harness: the wait is what is tested")]
    std::thread::sleep(time);
}
