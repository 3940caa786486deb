//! What was seen of the world, when, and how: three values, never two. Unknown is not absent.

use std::{
    collections::BTreeMap,
    fmt,
    ops::Deref,
    sync::{Arc, OnceLock},
};

use breakwater_api::Reason;
use breakwater_arm::{ResourceId, names};
use jiff::Timestamp;
use lz4_flex::block;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// How something came to be known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// It stood (or did not stand) in a listing that was read to its end. Hearsay.
    Listed,
    /// A GET of its own id.
    Read,
}

/// One look at one resource.
#[derive(Clone, Debug, PartialEq)]
pub struct Sighting {
    /// World time of the answer.
    pub at: Timestamp,
    /// By listing or by reading.
    pub how: How,
    /// The body; `None` when it was seen to be absent.
    pub what: Option<Arc<Value>>,
}

/// A body as it is remembered: its text, compressed by what it has in common with a sibling's. That takes a fiftieth of what
/// its tree does, and of ten thousand items a turn opens a few.
#[derive(Clone)]
pub struct Packed {
    bytes: Arc<[u8]>,
    length: usize,
    like: Option<Sample>,
}

/// A text that others are like: bodies of one type differ in little more than names.
pub type Sample = Arc<str>;

impl Packed {
    /// Packs a body that has no sibling.
    pub fn of(body: &Value) -> Self {
        Packed::pack(&body.to_string(), None)
    }

    /// Packs a body among its siblings: by their sample, which the first of them becomes.
    pub fn among(body: &Value, sample: &mut Option<Sample>) -> Self {
        let text = body.to_string();
        let sample = sample.get_or_insert_with(|| text.as_str().into());
        Packed::pack(&text, Some(sample))
    }

    fn pack(text: &str, like: Option<&Sample>) -> Self {
        let bytes = match like {
            Some(sample) => block::compress_with_dict(text.as_bytes(), sample.as_bytes()),
            None => block::compress(text.as_bytes()),
        };
        Packed { bytes: bytes.into(), length: text.len(), like: like.cloned() }
    }

    /// What its siblings are packed by.
    pub fn sample(&self) -> Option<Sample> {
        self.like.clone()
    }

    fn text(&self) -> Vec<u8> {
        let text = match &self.like {
            Some(sample) => block::decompress_with_dict(&self.bytes, self.length, sample.as_bytes()),
            None => block::decompress(&self.bytes, self.length),
        };
        text.unwrap_or_default()
    }

    /// Whether a word stands anywhere in it: far cheaper than to open it.
    pub fn mentions(&self, word: &str) -> bool {
        String::from_utf8(self.text()).is_ok_and(|text| text.contains(word))
    }

    /// The body.
    pub fn open(&self) -> Value {
        serde_json::from_slice(&self.text()).unwrap_or_default()
    }

    /// The body, typed; none where it has another form.
    pub fn read<T: DeserializeOwned>(&self) -> Option<T> {
        serde_json::from_slice(&self.text()).ok()
    }
}

impl PartialEq for Packed {
    fn eq(&self, other: &Self) -> bool {
        let alike = match (&self.like, &other.like) {
            (None, None) => true,
            (Some(a), Some(b)) => Arc::ptr_eq(a, b),
            _ => false,
        };
        // By the same sample the same text is the same bytes.
        self.length == other.length && if alike { self.bytes == other.bytes } else { self.text() == other.text() }
    }
}

impl Eq for Packed {}

impl fmt::Debug for Packed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text()))
    }
}

/// What is known of one resource: the last listing that covered it and the last direct read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Seen {
    /// From the last whole listing.
    pub listed: Option<Sighting>,
    /// From the last direct read that had an answer.
    pub read: Option<Sighting>,
    /// Why the last direct read had none: a refusal or a cut. Cleared by the next answer.
    pub trouble: Option<Trouble>,
}

/// Why a read gave no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// When it was tried.
    pub at: Timestamp,
    /// For conditions.
    pub reason: Reason,
    /// The service's own sentence.
    pub message: String,
    /// Not worth trying again before.
    pub until: Timestamp,
}

impl Seen {
    /// The newest of both, the read one where they are as new.
    pub fn latest(&self) -> Option<&Sighting> {
        match (&self.listed, &self.read) {
            (Some(l), Some(r)) if l.at > r.at => Some(l),
            (l, r) => r.as_ref().or(l.as_ref()),
        }
    }

    /// The last direct read, if it is not older than `since`.
    pub fn read_since(&self, since: Timestamp) -> Option<&Sighting> {
        self.read.as_ref().filter(|s| s.at >= since)
    }
}

/// One listing read to its last page.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// World time at which its first page was asked for: what it shows is at least as new.
    pub at: Timestamp,
    /// Items by id.
    pub items: Arc<Items>,
}

/// The items of a listing, by id.
#[derive(Default)]
pub struct Items {
    all: BTreeMap<ResourceId, Packed>,
    by_container: OnceLock<BTreeMap<String, Vec<ResourceId>>>,
}

impl Items {
    /// The items whose `properties.containerName` is that, compared without case, and those that name none of a machine's shape.
    /// A vault's jobs are one list, and each machine looks for its own in it: they are sorted once for all.
    pub fn of_container<'a>(&'a self, container: &str) -> impl Iterator<Item = (&'a ResourceId, &'a Packed)> {
        let sorted = self.by_container.get_or_init(|| {
            let mut sorted: BTreeMap<String, Vec<ResourceId>> = BTreeMap::new();
            for (id, body) in &self.all {
                let body = body.open();
                let name = body.pointer("/properties/containerName").and_then(Value::as_str).unwrap_or_default().to_ascii_lowercase();
                let of_machine = name.starts_with(names::MACHINE_PREFIX);
                sorted.entry(if of_machine { name } else { String::new() }).or_default().push(id.clone());
            }
            sorted
        });
        let of = [container.to_ascii_lowercase(), String::new()];
        of.into_iter().filter_map(|name| sorted.get(&name)).flatten().filter_map(|id| self.all.get_key_value(id))
    }
}

impl FromIterator<(ResourceId, Packed)> for Items {
    fn from_iter<I: IntoIterator<Item = (ResourceId, Packed)>>(items: I) -> Self {
        Items { all: items.into_iter().collect(), by_container: OnceLock::new() }
    }
}

impl Deref for Items {
    type Target = BTreeMap<ResourceId, Packed>;

    fn deref(&self) -> &Self::Target {
        &self.all
    }
}

impl PartialEq for Items {
    fn eq(&self, other: &Self) -> bool {
        self.all == other.all
    }
}

impl fmt::Debug for Items {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.all.fmt(f)
    }
}

/// What is known of a collection.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Listed {
    /// The last listing that came whole.
    pub last: Option<Listing>,
    /// Why the last attempt did not come whole.
    pub trouble: Option<Trouble>,
}

/// Three values. An error to see is `Unknown`, whatever was seen before is kept beside it by the caller.
#[derive(Clone, Debug, PartialEq)]
pub enum Known<T> {
    /// Never seen, or failed to see.
    Unknown,
    /// Seen to be absent, then.
    Absent(Timestamp),
    /// Seen, then.
    Present(Timestamp, T),
}

impl<T> Known<T> {
    /// The value, when present.
    pub fn present(&self) -> Option<&T> {
        match self {
            Known::Present(_, value) => Some(value),
            _ => None,
        }
    }

    /// The value itself, when present.
    pub fn into_present(self) -> Option<T> {
        match self {
            Known::Present(_, value) => Some(value),
            _ => None,
        }
    }

    /// True only when it was seen to be absent.
    pub fn is_absent(&self) -> bool {
        matches!(self, Known::Absent(_))
    }

    /// True when nothing is known.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Known::Unknown)
    }
}

/// Whether a body says that something is still being done to the resource (ARM: `properties.provisioningState`,
/// missing means `Succeeded`; compute-and-arm.md E.3).
pub fn in_flight(body: &Value) -> bool {
    body.pointer("/properties/provisioningState")
        .and_then(Value::as_str)
        .is_some_and(|state| !["Succeeded", "Failed", "Canceled", "Cancelled"].iter().any(|end| state.eq_ignore_ascii_case(end)))
}
