//! A model as bytes: magic, version and checksum before a bincode payload.
//!
//! Bytes from disk are hostile until proven otherwise. The checksum catches damage; the size limit
//! and the validation in each model's `TryFrom` hold even against bytes that someone made to fit.

use core::fmt;

use bincode::Options;

use super::{Model, ModelKind};
use crate::memory::require_available;

/// The longest blob, in bytes, that is read or written.
pub const MAX_BLOB_BYTES: usize = 64 << 20;

const MAGIC: [u8; 4] = *b"LMDL";
const VERSION: u32 = 1;
/// Magic, version and checksum.
const HEADER: usize = 16;
/// The most bytes that decoding takes for each byte of a blob.
const DECODING: usize = 5;

/// Why bytes are not a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ModelError {
    /// Shorter than the header, or longer than [`MAX_BLOB_BYTES`].
    Size(usize),
    /// The first bytes are not a model's.
    Magic,
    /// Written by an unknown version.
    Version(u32),
    /// The bytes changed since they were written.
    Checksum,
    /// The payload does not decode.
    Payload(String),
    /// The payload decodes to a model that no training gives.
    Structure(&'static str),
}

impl fmt::Display for ModelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ModelError::Size(bytes) => write!(f, "model has {bytes} bytes"),
            ModelError::Magic => write!(f, "model has the wrong magic number"),
            ModelError::Version(version) => {
                write!(f, "model has version {version}, expected {VERSION}")
            }
            ModelError::Checksum => write!(f, "model has the wrong checksum"),
            ModelError::Payload(why) => write!(f, "model does not decode: {why}"),
            ModelError::Structure(why) => write!(f, "model is malformed: {why}"),
        }
    }
}

impl core::error::Error for ModelError {}

impl Model {
    /// The model as at most [`MAX_BLOB_BYTES`] bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serde copies keys and lines before it writes them.
        require_available(3 * (HEADER + self.size_bytes()));
        let mut bytes = Vec::with_capacity(HEADER + self.size_bytes());
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&[0; 8]);
        // Writing to memory fails only beyond the limit, which training respects; a blob that is
        // cut short is refused by its checksum, like any other damaged one.
        if options().serialize_into(&mut bytes, self).is_err() {
            bytes.truncate(HEADER);
        }
        let checksum = checksum(bytes.get(HEADER..).unwrap_or(&[]));
        if let Some(slot) = bytes.get_mut(8..HEADER) {
            slot.copy_from_slice(&checksum.to_le_bytes());
        }
        bytes
    }

    /// The model that [`Model::to_bytes`] wrote. Any byte string gives a model or an error, and
    /// no more memory is used than a few times its length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model, ModelError> {
        let too_short = || ModelError::Size(bytes.len());
        if bytes.len() > MAX_BLOB_BYTES {
            return Err(ModelError::Size(bytes.len()));
        }
        let (magic, rest) = bytes.split_first_chunk::<4>().ok_or_else(too_short)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or_else(too_short)?;
        let (sum, payload) = rest.split_first_chunk::<8>().ok_or_else(too_short)?;
        if *magic != MAGIC {
            return Err(ModelError::Magic);
        }
        let version = u32::from_le_bytes(*version);
        if version != VERSION {
            return Err(ModelError::Version(version));
        }
        if u64::from_le_bytes(*sum) != checksum(payload) {
            return Err(ModelError::Checksum);
        }
        require_available(payload.len().saturating_mul(DECODING));
        options().deserialize(payload).map_err(|error| ModelError::Payload(error.to_string()))
    }

    /// Whether the blob keeps the limit: every segment is at most 32 bytes there.
    pub(super) fn fits_blob(&self) -> bool {
        let fixed = 128;
        self.kind() == ModelKind::Linear
            || self.segments().saturating_mul(32).saturating_add(fixed) <= MAX_BLOB_BYTES
    }
}

fn options() -> impl Options {
    bincode::DefaultOptions::new()
        .with_fixint_encoding()
        .with_little_endian()
        .with_limit((MAX_BLOB_BYTES - HEADER) as u64)
        .reject_trailing_bytes()
}

/// FNV-1a over 64 bits: small, and enough against damage; it is no defence against forgery.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    })
}
