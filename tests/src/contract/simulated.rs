//! Are azure-sim's answers shaped as the recorded ones? Recorded answers are held against those of a [`tour`].

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::OnceLock,
};

use serde_json::Value;

use super::{
    differences::{ABSENT, ALONE},
    fields::Kind,
    key::{Document, Key, documents, type_of},
    recording::Exchange,
    shape::Shape,
    tour,
};

/// Headers that a client acts on: what is recorded must be there. Sources kept few of the others.
const KEPT_HEADERS: [&str; 4] = ["azure-asyncoperation", "location", "retry-after", "www-authenticate"];
/// Of these also the reverse: what starts an operation is never cut from a recording.
const LINKS: [&str; 2] = ["azure-asyncoperation", "location"];
/// Parts of a link's query that sources shorten.
const SIGNATURE: [&str; 5] = ["t", "c", "s", "h", "p"];

/// Limits that the engine's budget is fed by; Azure tells of more.
const READ_LIMITS: [&str; 4] = [
    "x-ms-ratelimit-remaining-subscription-reads",
    "x-ms-ratelimit-remaining-subscription-resource-requests",
    "x-ms-ratelimit-remaining-subscription-writes",
    "x-ms-ratelimit-remaining-subscription-deletes",
];
/// What is read of lists, operations and errors.
const ENVELOPE: [&str; 10] = [
    "/value",
    "/nextLink",
    "/status",
    "/properties/jobId",
    "/properties/objectType",
    "/properties/provisioningState",
    "/error/code",
    "/error/message",
    "/code",
    "/message",
];

/// What the path of a protected item has below the vault.
const ITEMS: &str = "backupfabrics/protectioncontainers/protecteditems";

/// What comparing a file's answers with the simulator's came to.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compared {
    /// How many answers and elements of lists have the recorded shape.
    pub same: usize,
    /// Those that the simulator never gives.
    pub not_modelled: BTreeSet<NotModelled>,
    /// Sentences about those that differ in what our code reads.
    pub different: Vec<String>,
    /// Key paths and headers that were recorded, that the simulator does not show, and that nothing of ours reads, or
    /// that it shows of other such resources.
    pub lacking: BTreeSet<String>,
}

/// An answer that the simulator does not give.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NotModelled {
    /// What it is.
    pub key: Key,
    /// Whether the simulator refuses the request.
    pub how: How,
}

/// How the simulator does not give an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// It answers 501.
    Refused,
    /// It knows the request and never gives this answer to it: another state or another error.
    NeverShown,
}

/// What the simulator showed under one key.
#[derive(Clone, Debug, Default)]
struct Exemplar {
    shape: Shape,
    headers: BTreeSet<String>,
    /// Of each header of [`LINKS`] the forms seen; nothing for an answer without it.
    links: BTreeSet<(&'static str, Option<String>)>,
}

/// All that the simulator shows.
#[derive(Debug)]
pub struct Simulated {
    exemplars: BTreeMap<Key, Exemplar>,
    /// Errors by status and code: their shape belongs to the layer that gave them, not to the operation.
    errors: BTreeMap<(u16, String), Exemplar>,
    /// What is shown of a type in any state.
    families: BTreeMap<(String, bool), Shape>,
}

/// The simulator's answers; the tour is walked once a process.
pub fn simulated() -> &'static Simulated {
    static TOUR: OnceLock<Simulated> = OnceLock::new();
    TOUR.get_or_init(|| Simulated::of(&tour::walk()))
}

impl Simulated {
    /// From what a tour saw. What is not modelled shows nothing.
    pub fn of(seen: &[Exchange]) -> Self {
        let (mut exemplars, mut errors) = (BTreeMap::<Key, Exemplar>::new(), BTreeMap::<_, Exemplar>::new());
        for exchange in seen.iter().filter(|exchange| exchange.answer.status != 501) {
            for (at, Document { key, value }) in documents(exchange).into_iter().enumerate() {
                let exemplar = match key.status {
                    400.. => errors.entry((key.status, key.state)).or_default(),
                    _ => exemplars.entry(key).or_default(),
                };
                exemplar.shape.join(Shape::of(&value));
                if at == 0 {
                    exemplar.headers.extend(exchange.answer.headers.keys().cloned());
                    exemplar.links.extend(LINKS.map(|name| (name, exchange.answer.header(name).map(link_form))));
                }
            }
        }
        let mut families: BTreeMap<(String, bool), Shape> = BTreeMap::new();
        for (key, exemplar) in &exemplars {
            families.entry(family(key)).or_default().join(exemplar.shape.clone());
        }
        Simulated { exemplars, errors, families }
    }

    fn exemplar(&self, key: &Key) -> Option<&Exemplar> {
        if key.status >= 400 { self.errors.get(&(key.status, key.state.clone())) } else { self.exemplars.get(key) }
    }

    /// Holds one recorded exchange against the simulator's.
    pub fn compare(&self, exchange: &Exchange, into: &mut Compared) {
        for (at, document) in documents(exchange).into_iter().enumerate() {
            let Some(exemplar) = self.exemplar(&document.key) else {
                let how = if tour::probe(exchange) == 501 { How::Refused } else { How::NeverShown };
                into.not_modelled.insert(NotModelled { key: document.key, how });
                continue;
            };
            let mut found = body_differences(exemplar, &document);
            if at == 0 {
                found.extend(header_differences(exemplar, exchange, &document.key));
            }
            let (read, unread): (Vec<_>, Vec<_>) = found.into_iter().partition(|(path, _)| {
                let shown = self.families.get(&family(&document.key));
                is_fault(&document.key, path, &document.value, shown)
            });
            if read.is_empty() {
                into.same += 1;
            }
            into.different.extend(read.into_iter().map(|(_, why)| format!("{}: {why}", document.key)));
            into.lacking.extend(unread.into_iter().map(|(path, _)| format!("{} {path}", type_of(&document.key.operation))));
        }
    }

    /// Key paths that the simulator shows of a type and no recording does, as (type, path). Types without recordings,
    /// and answers without a body, are left out.
    pub fn unrecorded(&self, recorded: &[Exchange]) -> BTreeSet<(String, String)> {
        let mut known: BTreeMap<(String, bool), Shape> = BTreeMap::new();
        for document in recorded.iter().flat_map(documents) {
            known.entry(family(&document.key)).or_default().join(Shape::of(&document.value));
        }
        let mut found = BTreeSet::new();
        let errors = self.errors.values().map(|exemplar| (("errors".to_owned(), true), exemplar));
        for (family, exemplar) in self.exemplars.iter().map(|(key, exemplar)| (family(key), exemplar)).chain(errors) {
            let Some(known) = known.get(&family) else { continue };
            let new = known.lacking(&exemplar.shape).into_iter();
            found.extend(new.map(|(path, _)| (family.0.clone(), path)).filter(|(kind, path)| !is_listed(ALONE, kind, path)));
        }
        found
    }
}

/// What shares its fields: a type in all its states and lists; all errors.
fn family(key: &Key) -> (String, bool) {
    let is_element = key.method == "LIST" || !key.operation.ends_with("[]");
    match key.status {
        400.. => ("errors".to_owned(), true),
        // items are listed under another name than they have
        _ => (type_of(&key.operation).replace("backupprotecteditems", ITEMS), is_element),
    }
}

fn is_listed(list: &[super::differences::Difference], operation: &str, path: &str) -> bool {
    list.iter().any(|difference| difference.covers(operation, path))
}

/// Whether it is a fault of the simulator's that it lacks that: something of ours reads it, it is more than null, and the
/// simulator never shows it of such a type. What a resource shows depends on how it was made: a policy without yearly
/// points has no yearly schedule.
fn is_fault(key: &Key, path: &str, value: &Value, family: Option<&Shape>) -> bool {
    let own = Shape::of(value);
    let elsewhere = family.is_some_and(|family| !family.lacking(&own).iter().any(|(lacking, _)| lacking == path));
    is_read(key, path) && !own.is_null(path) && (path.starts_with("header ") || !elsewhere)
}

/// Whether anything of ours reads that of such an answer.
fn is_read(key: &Key, path: &str) -> bool {
    if let Some(header) = path.strip_prefix("header ") {
        return LINKS.contains(&header) || KEPT_HEADERS.contains(&header) || READ_LIMITS.contains(&header);
    }
    let pattern = path.replace("[]", "/*");
    let reaches = |known: &str| known.strip_prefix(pattern.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
    match kind_of(&key.operation).filter(|_| key.status < 400) {
        Some(kind) => kind.known().iter().any(|known| reaches(&known.pattern)) || ENVELOPE.into_iter().any(reaches),
        None => ENVELOPE.into_iter().any(reaches),
    }
}

fn kind_of(operation: &str) -> Option<Kind> {
    let of = type_of(operation);
    match of.rsplit('/').next() {
        // the collections of a subscription or a group are ARM's own
        Some(word) if of.starts_with("subscriptions") => Kind::of(&format!("microsoft.resources/{word}")),
        _ => Kind::of(of),
    }
}

fn body_differences(exemplar: &Exemplar, document: &Document) -> Vec<(String, String)> {
    let operation = if document.key.status >= 400 { "errors" } else { &document.key.operation };
    let lacking = exemplar.shape.lacking(&Shape::of(&document.value)).into_iter();
    lacking.filter(|(path, _)| !is_listed(ABSENT, operation, path)).collect()
}

fn header_differences(exemplar: &Exemplar, exchange: &Exchange, key: &Key) -> Vec<(String, String)> {
    let mut found = Vec::new();
    // which limit an error was counted against depends on how far the request came
    let counted = |name: &&str| key.status < 400 && name.starts_with("x-ms-ratelimit-");
    let limits = exchange.answer.headers.keys().map(String::as_str).filter(counted);
    let kept = KEPT_HEADERS.into_iter().filter(|name| exchange.answer.header(name).is_some());
    for name in kept.chain(limits) {
        let path = format!("header {name}");
        if !exemplar.headers.contains(name) && !is_listed(ABSENT, &key.operation, &path) {
            let why = format!("{path} is missing");
            found.push((path, why));
        }
    }
    for name in LINKS {
        let form = exchange.answer.header(name).map(link_form);
        let forms: Vec<_> = exemplar.links.iter().filter(|(known, _)| *known == name).map(|(_, form)| form).collect();
        let path = format!("header {name}");
        if !forms.contains(&&form) && !is_listed(ABSENT, &key.operation, &path) {
            let why = format!("{path} is {forms:?}, recorded as {form:?}");
            // that a recording lacks a link may be the recorder's doing
            found.push((if form.is_some() { path } else { format!("{path}, not recorded") }, why));
        }
    }
    found
}

/// A link without names and ids: `/subscriptions/*/providers/microsoft.compute/locations/*/operations/*?api-version`.
fn link_form(url: &str) -> String {
    let after_host = url.split_once("://").map_or(url, |(_, rest)| rest.find('/').map_or("", |at| &rest[at..]));
    let (path, query) = after_host.split_once('?').unwrap_or((after_host, ""));
    let lower = path.to_ascii_lowercase();
    let mut form = String::new();
    let mut is_name = false;
    for segment in lower.split('/').filter(|segment| !segment.is_empty()) {
        form.push('/');
        // a namespace stands where a name would
        let is_word = !is_name || segment.starts_with("microsoft.");
        form.push_str(if is_word { segment } else { "*" });
        is_name = !is_name;
    }
    let names: BTreeSet<&str> = query.split('&').map(|pair| pair.split('=').next().unwrap_or_default()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !name.is_empty() && !SIGNATURE.contains(name)).collect();
    format!("{form}?{}", names.join("&"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_links_form_has_its_types_and_query_names_only() {
        let url = "https://management.azure.com/subscriptions/s/providers/Microsoft.Compute/locations/westus/DiskOperations/1?p=x&api-version=2020-01-01&t=1&monitor=true";
        assert_eq!(link_form(url), "/subscriptions/*/providers/microsoft.compute/locations/*/diskoperations/*?api-version&monitor");
        assert_eq!(
            link_form("https://h/subscriptions/s/operationresults/eyJ?api-version=1"),
            "/subscriptions/*/operationresults/*?api-version"
        );
    }
}
