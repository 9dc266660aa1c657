//! Rotation of keys: what is in progress, and how far it is.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::id::AppId;
use crate::schema::Timestamp;

/// `POST /v1/apps/{app}/rotate`: a new KEK for an app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateApp {
    /// Whether the values are encrypted again under new DEKs: for when DEKs may be known to others.
    #[serde(default)]
    #[schema(default = false)]
    pub rewrite: bool,
}

/// `GET /v1/rotations`: the rotations in progress.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotationList {
    /// The keyring.
    pub keyring: KeyringInfo,
    /// Apps whose KEK is being rotated, by id.
    pub apps: Vec<AppRotation>,
}

/// What is known of the keyring; never a key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyringInfo {
    /// The version that wraps.
    #[schema(minimum = 1)]
    pub current: u32,
    /// All versions, from old to new. A version is destroyed once it wraps nothing any more.
    pub versions: Vec<KeyringVersion>,
    /// The progress of the rotation; absent if none is in progress.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    pub rotation: Option<RotationProgress>,
}

/// A version of the keyring.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct KeyringVersion {
    /// The version.
    #[schema(minimum = 1)]
    pub version: u32,
    /// When it was created.
    #[schema(value_type = Timestamp)]
    pub created_at: String,
}

/// The progress of a rotation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct RotationProgress {
    /// Rows that are done.
    pub done: u64,
    /// Rows at the start of the rotation, or when it continued after a restart.
    pub total: u64,
    /// Keys that this node has wrapped again.
    pub rewrapped: u64,
    /// Rows that cannot be rotated. The old version stays while there are any.
    pub faults: u64,
    /// What is wrong with the first of them, each with what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub problems: Vec<String>,
}

/// The rotation of an app's KEK.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct AppRotation {
    /// The app.
    pub app: AppId,
    /// Whether values are encrypted again.
    pub rewrite: bool,
    /// The versions of its KEK, from old to new; the last one wraps.
    pub kek_versions: Vec<u32>,
    /// When it started.
    #[schema(value_type = Timestamp)]
    pub started_at: String,
    /// Its progress, in values.
    pub progress: RotationProgress,
}
