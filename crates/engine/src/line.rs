//! Who finds the budget spent stands in line: each is told a time of its own.

use std::{
    collections::HashMap,
    hash::{DefaultHasher, Hash, Hasher},
};

use breakwater_arm::wire::Request;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// Beyond so many places, those whose time is over are forgotten.
const MOST_PLACES: usize = 1_000;

/// How far ahead a line reaches.
pub const LONGEST_LINE: SignedDuration = SignedDuration::from_mins(10);

/// Who was told when to come back.
#[derive(Clone, Debug, Default)]
pub struct Line {
    /// The last place that was given.
    last: Timestamp,
    /// The places by what they are for.
    places: HashMap<u64, Timestamp>,
    /// So many were left when those whose time is over were forgotten last.
    left: usize,
}

impl Line {
    /// The next place in a line that begins at `from`; who asks again before its time keeps its place. A line that has grown
    /// too long begins anew beside itself: those in it may have come and gone for other reasons.
    pub fn place(&mut self, request: &Request, (now, from): (Timestamp, Timestamp), apart: SignedDuration) -> Timestamp {
        // Of a listing its path alone: who reads more of it reads for the others too.
        let whose = {
            let mut hasher = DefaultHasher::new();
            let link = request.link.as_ref().filter(|_| request.path.is_empty());
            (&request.path, link, request.body.as_ref().map(Value::to_string)).hash(&mut hasher);
            hasher.finish()
        };
        if let Some(kept) = self.places.get(&whose).filter(|at| **at > now && **at >= from) {
            return *kept;
        }
        if self.places.len() > MOST_PLACES.max(2 * self.left) {
            self.places.retain(|_, at| *at > now);
            self.left = self.places.len();
        }
        let next = from.max(self.last + apart);
        self.last = if next > from + LONGEST_LINE.max(apart * 40) { from } else { next };
        self.places.insert(whose, self.last);
        self.last
    }
}
