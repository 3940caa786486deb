//! The simulated Azure behind one synchronous entry: a request and a time go in, an answer comes out. No wall clock, no
//! randomness but the seed's: the same estate, seed and requests give the same bytes.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::{
    answers::{self, Played},
    arm::{
        self, Owner, errors, gate,
        operations::{Rig, operation_asked},
    },
    estate::{Estate, EstateError},
    faults::{Fault, Faults},
    identity::{
        actions,
        directory::Directory,
        entra::{self, Desk},
        federation::KeyCache,
        tokens::{Challenge, Signer},
    },
    journal::{Entry, Journal, without_secrets},
    model::Model,
    path::{Form, Target, split_url},
    throttle::Throttle,
    wire::{Caller, Inbound, Reply, WireReply, WireRequest},
    world::World,
};

/// How a simulator starts.
#[derive(Clone, Debug)]
pub struct Options {
    /// The seed of everything random.
    pub seed: u64,
    /// World time at the start.
    pub start: Timestamp,
    /// How Recovery Services behaves.
    pub recovery: crate::recovery::Settings,
}

impl Default for Options {
    fn default() -> Self {
        let start = "2026-11-24T08:00:00Z".parse().expect("a literal time");
        Options { seed: 1, start, recovery: crate::recovery::Settings::default() }
    }
}

/// The simulated Azure. A clone is another one that stands where this one does and goes its own way.
#[derive(Clone)]
pub struct Azure {
    pub(crate) model: Model,
    pub(crate) directory: Directory,
    pub(crate) throttle: Throttle,
    pub(crate) faults: Faults,
    pub(crate) journal: Journal,
    signer: Signer,
    keys: KeyCache,
    past: VecDeque<(Timestamp, Model)>,
    /// Whether more than time has passed since the last of `past`.
    pub(crate) changed: bool,
}

/// How far a request came.
pub(crate) struct Outcome {
    pub(crate) reply: Reply,
    pub(crate) caller: Caller,
    pub(crate) throttled: bool,
    pub(crate) reached: bool,
}

impl Outcome {
    fn refused(reply: Reply, caller: Caller) -> Self {
        Outcome { reply, caller, throttled: false, reached: false }
    }
}

/// Who sends a request.
enum Who {
    /// Whoever the bearer token says.
    Bearer,
    /// Somebody the test vouches for.
    Known(Caller),
}

impl Azure {
    /// Builds the world of an estate.
    ///
    /// # Errors
    /// When the estate contradicts itself or Azure would refuse a part of it; the error names the field.
    pub fn new(estate: Estate, options: Options) -> Result<Self, EstateError> {
        crate::estate::load::build(estate, options)
    }

    pub(crate) fn from_parts(model: Model, directory: Directory) -> Self {
        Azure {
            model,
            directory,
            throttle: Throttle::default(),
            faults: Faults::default(),
            journal: Journal::default(),
            signer: Signer::default(),
            keys: KeyCache::default(),
            past: VecDeque::new(),
            changed: true,
        }
    }

    /// World time.
    pub fn now(&self) -> Timestamp {
        self.model.world.now
    }

    /// When something happens next by itself.
    pub fn next_event(&self) -> Option<Timestamp> {
        self.model.next_event()
    }

    /// Lets time pass until `to`; time never goes back.
    pub fn advance(&mut self, to: Timestamp) {
        let happens = self.next_event().is_some_and(|at| at <= to);
        // Where nothing happened and nothing will, time alone makes an older frame into this one.
        if self.changed || happens || self.past.is_empty() {
            self.remember();
            self.changed = happens;
        }
        self.model.advance(to);
    }

    /// The journal.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The journal, to trim it.
    pub fn journal_mut(&mut self) -> &mut Journal {
        &mut self.journal
    }

    /// The fault rules.
    pub fn faults_mut(&mut self) -> &mut Faults {
        &mut self.faults
    }

    /// The world, to look at it.
    pub fn world(&self) -> &World {
        &self.model.world
    }

    /// Recovery Services, to look at it or to break it.
    pub fn recovery_mut(&mut self) -> &mut crate::recovery::State {
        self.changed = true;
        &mut self.model.recovery
    }

    /// The directory of principals.
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Keys of an issuer of federated assertions, as fetched.
    pub fn learn_keys(&mut self, issuer: &str, keys: jsonwebtoken::jwk::JwkSet, wall: Timestamp) {
        self.keys.learn(issuer, keys, wall);
    }

    /// The issuer whose keys must be fetched before this request can be judged, if any.
    pub fn wanted_issuer(&self, request: &WireRequest, wall: Timestamp) -> Option<String> {
        let (path, _) = split_url(&request.url);
        let is_token = request.method == "POST" && entra::owns(&path) && entra::is_token_path(&path);
        is_token.then(|| entra::wanted_issuer(&self.directory, &self.keys, &request.body, wall)).flatten()
    }

    /// Answers a request at a world time; tokens are judged by the same time.
    pub fn handle(&mut self, now: Timestamp, request: WireRequest) -> WireReply {
        self.serve(now, now, Who::Bearer, request)
    }

    /// Answers a request at a world time, judging tokens by the wall's.
    pub fn handle_at(&mut self, now: Timestamp, wall: Timestamp, request: WireRequest) -> WireReply {
        self.serve(now, wall, Who::Bearer, request)
    }

    /// Answers a request of a caller whose token is not looked at; roles are.
    pub fn handle_as(&mut self, now: Timestamp, caller: Caller, request: WireRequest) -> WireReply {
        self.serve(now, now, Who::Known(caller), request)
    }

    fn serve(&mut self, now: Timestamp, wall: Timestamp, who: Who, request: WireRequest) -> WireReply {
        self.advance(now);
        let (mut inbound, readable) = read(&request, self.now());
        let target = Target::read(&inbound.method, &inbound.path);
        let is_list = inbound.method == "GET" && (target.form() == Form::Collection || target.namespace.is_none());
        let played = Played::new(self.faults.fire(&inbound, is_list));
        self.changed |= !matches!(inbound.method.as_str(), "GET" | "HEAD") || played.rig().is_some();
        if played.has(|fault| matches!(fault, Fault::DropBeforeApply)) {
            self.note(&inbound, &request, None, &played, 0);
            return WireReply { disposition: crate::wire::Disposition::DropConnection, delay: played.delay(), ..WireReply::default() };
        }
        let early = played.status(crate::faults::When::BeforeApply, &inbound);
        let outcome = match &early {
            // Nobody looks at the token, but the journal shall say who was turned away.
            Some((reply, _)) => Outcome::refused(reply.clone(), self.authenticate(&inbound, &target, who, wall, false).unwrap_or_default()),
            None => self.route(&mut inbound, &target, who, &request, (readable, wall, &played)),
        };
        inbound.caller = outcome.caller.clone();
        self.rig(&played, &inbound, &outcome.reply);
        let late = played.status(crate::faults::When::AfterApply, &inbound);
        let (reply, bytes) = late.or(early).unwrap_or_else(|| (outcome.reply.clone(), None));
        let dropped = played.has(|fault| matches!(fault, Fault::DropAfterApply));
        self.note(&inbound, &request, Some((&outcome, &reply)), &played, reply.status);
        let mut wire = answers::finish(&self.model.world, &inbound, reply, bytes);
        wire.delay = played.delay();
        played.spoil(&mut wire);
        if dropped {
            wire.disposition = crate::wire::Disposition::DropConnection;
        }
        wire
    }

    /// Everything between the wire and the models.
    fn route(
        &mut self,
        req: &mut Inbound,
        target: &Target,
        who: Who,
        request: &WireRequest,
        (readable, wall, played): (bool, Timestamp, &Played),
    ) -> Outcome {
        let refuses_token = played.has(|fault| matches!(fault, Fault::TokenRefused));
        if entra::owns(&req.path) {
            let reply = self.identity(req, &request.body, wall, refuses_token);
            return Outcome { reply, caller: Caller::default(), throttled: false, reached: true };
        }
        if let Some(reply) = crate::recovery::program(req) {
            return Outcome { reply, caller: Caller::default(), throttled: false, reached: true };
        }
        let caller = match self.authenticate(req, target, who, wall, refuses_token) {
            Ok(caller) => caller,
            Err(reply) => return Outcome::refused(reply, Caller::default()),
        };
        req.caller = caller.clone();
        let Some(owner) = arm::owner(target, &req.path) else {
            return Outcome::refused(errors::not_implemented(&req.method, &req.raw_path()), caller);
        };
        let headers = match self.throttle.admit(req, target, owner, &self.model.world.settings.throttling) {
            Ok(headers) => headers,
            Err(reply) => return Outcome { reply, caller, throttled: true, reached: false },
        };
        let refusal = gate::refusal(&self.model.world, req, target, owner, readable);
        let reached = refusal.is_none();
        let mut reply = refusal.unwrap_or_else(|| self.dispatch(req, target, owner, played));
        reply.headers.extend(headers);
        Outcome { reply, caller, throttled: false, reached }
    }

    fn dispatch(&mut self, req: &Inbound, target: &Target, owner: Owner, played: &Played) -> Reply {
        if req.method == "HEAD" {
            // Whether it is there: what a GET says, in 204 or an error, and never a body.
            let asked = Inbound { method: "GET".to_owned(), ..req.clone() };
            let reply = self.dispatch(&asked, target, owner, played);
            return if reply.status == 200 { Reply { status: 204, body: None, ..reply } } else { reply };
        }
        // A poll that a rule strikes already shows it.
        if let Some(rig) = played.rig().filter(|_| req.method == "GET")
            && let Some(id) = operation_asked(&req.path)
        {
            self.rig_operation(rig, &id);
        }
        let standing = self.model.world.settings.list_lag_seconds as f64;
        let listing = req.method == "GET" && target.form() == Form::Collection;
        if let Some(lag) = played.lag().or((listing && standing > 0.0).then_some(standing)) {
            let mut then = self.as_of(lag);
            let mut reply = arm::dispatch(&mut then, req, target, owner);
            actions::filter_list(&self.model.world, req, target, owner, &mut reply);
            return reply;
        }
        let mut reply = arm::dispatch(&mut self.model, req, target, owner);
        if owner == Owner::Groups && req.method == "DELETE" && reply.status == 202 {
            self.model.block_group_deletion(target);
        }
        actions::filter_list(&self.model.world, req, target, owner, &mut reply);
        reply
    }

    fn identity(&mut self, req: &Inbound, body: &[u8], wall: Timestamp, refused: bool) -> Reply {
        let world = &self.model.world;
        if refused && entra::is_token_path(&req.path) {
            let refusal = entra::Refusal::new(7_000_222, "invalid_client", "The provided client secret keys for app are expired.");
            return refusal.reply(&world.entropy, wall);
        }
        let tenants = world.subscriptions.values().map(|subscription| subscription.tenant_id.clone()).collect();
        let lifetime = world.settings.token_lifetime_seconds.unwrap_or(3_599);
        let mut desk = Desk {
            directory: &self.directory,
            signer: &mut self.signer,
            keys: &self.keys,
            entropy: &world.entropy,
            tenants,
            wall,
            lifetime,
        };
        entra::handle(&mut desk, req, body).unwrap_or_else(|| errors::not_implemented(&req.method, &req.raw_path()))
    }

    fn authenticate(&mut self, req: &Inbound, target: &Target, who: Who, wall: Timestamp, refused: bool) -> Result<Caller, Reply> {
        let tenant = target.subscription.as_ref().and_then(|id| self.model.world.subscription(id)).map(|s| s.tenant_id.clone());
        let challenge = Challenge { origin: &req.origin, tenant: tenant.as_deref() };
        match who {
            _ if refused => self.signer.verify(Some("refused by a fault rule"), wall, &challenge),
            Who::Known(caller) => Ok(caller),
            Who::Bearer => self.signer.verify(req.headers.get("authorization").map(String::as_str), wall, &challenge),
        }
    }

    /// Keeps what lists with a lag will need.
    fn remember(&mut self) {
        let standing = self.model.world.settings.list_lag_seconds as f64;
        let longest = self.faults.longest_lag().unwrap_or(0.0).max(standing);
        if longest <= 0.0 {
            self.past.clear();
            return;
        }
        let now = self.now();
        if self.past.back().is_some_and(|(at, _)| *at == now) {
            self.past.pop_back();
        }
        self.past.push_back((now, self.model.clone()));
        let oldest = now.saturating_sub(seconds(longest)).unwrap_or(Timestamp::MIN);
        while self.past.get(1).is_some_and(|(at, _)| *at <= oldest) {
            self.past.pop_front();
        }
    }

    fn as_of(&self, lag: f64) -> Model {
        let then = self.now().saturating_sub(seconds(lag)).unwrap_or(Timestamp::MIN);
        let frame = self.past.iter().rev().find(|(at, _)| *at <= then).or(self.past.front());
        let mut model = frame.map_or_else(|| self.model.clone(), |(_, model)| model.clone());
        model.advance(then);
        model
    }

    /// Marks the operation, or the job, that a request started as a fault rule says. A resource is never marked: only
    /// what has URLs to poll can be stuck, expired or failed.
    fn rig(&mut self, played: &Played, req: &Inbound, reply: &Reply) {
        if let Some(code) = played.failing_job() {
            answers::fail_job(&mut self.model.recovery, reply, code);
        }
        if let Some(fate) = played.fate() {
            answers::doom_restore(&mut self.model.recovery, reply, fate);
        }
        let Some(rig) = played.rig().filter(|_| req.method != "GET") else { return };
        let header = |name: &str| reply.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.clone());
        let url = header("azure-asyncoperation").or_else(|| header("location"));
        let from_url = url.and_then(|url| operation_asked(&split_url(&url).0));
        let named = header("x-ms-request-id").filter(|id| self.model.world.operations.contains_key(id));
        if let Some(id) = named.or(from_url) {
            self.rig_operation(rig, &id);
        }
    }

    /// Marks an operation; one that has ended, and an id that belongs to none, stay as they are.
    fn rig_operation(&mut self, rig: Rig, id: &str) {
        match self.model.world.operations.get_mut(&id.to_ascii_lowercase()) {
            Some(operation) => operation.rig = Some(rig),
            None => answers::rig_recovery(&mut self.model.recovery, id, &rig),
        }
    }

    fn note(&mut self, req: &Inbound, request: &WireRequest, outcome: Option<(&Outcome, &Reply)>, played: &Played, status: u16) {
        let shown: serde_json::Map<String, Value> = req
            .query
            .iter()
            .filter(|(name, _)| !matches!(name.as_str(), "t" | "c" | "s" | "h" | "p"))
            .map(|(name, value)| (name.clone(), Value::String(value.clone())))
            .collect();
        let body =
            if entra::owns(&req.path) { serde_json::to_value(entra::form(&request.body)).unwrap_or_default() } else { req.body.clone() };
        let code = outcome.and_then(|(_, reply)| answers::error_code(reply));
        let (caller, client) = crate::journal::caller_words(&req.caller);
        self.journal.push(Entry {
            seq: self.journal.next_seq(),
            time: req.now,
            caller,
            client,
            method: req.method.clone(),
            path: req.raw_path(),
            query: Value::Object(shown),
            body: without_secrets(&body),
            client_request_id: req.client_request_id().map(str::to_owned),
            status,
            code,
            applied: outcome.is_some_and(|(outcome, _)| outcome.reached && outcome.reply.status < 400),
            fault: played.names(),
            throttled: outcome.is_some_and(|(outcome, _)| outcome.throttled),
            actions: outcome.filter(|(outcome, _)| outcome.reached).map(|_| asked_of(req)).unwrap_or_default(),
        });
    }
}

/// The actions that a request asked of its caller's roles.
fn asked_of(req: &Inbound) -> Vec<String> {
    let target = Target::read(&req.method, &req.path);
    arm::owner(&target, &req.path).map(|owner| actions::named(req, &target, owner)).unwrap_or_default()
}

fn seconds(seconds: f64) -> SignedDuration {
    SignedDuration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(SignedDuration::ZERO)
}

/// A request off the wire; the flag says whether its body could be read.
fn read(request: &WireRequest, now: Timestamp) -> (Inbound, bool) {
    let (path, query) = split_url(&request.url);
    let form = entra::owns(&path);
    let parsed = if request.body.is_empty() || form { Ok(Value::Null) } else { serde_json::from_slice(&request.body) };
    let readable = parsed.is_ok();
    let inbound = Inbound {
        method: request.method.to_ascii_uppercase(),
        path,
        query,
        headers: request.headers.clone(),
        body: parsed.unwrap_or_default(),
        caller: Caller::default(),
        now,
        origin: request.origin.clone(),
    };
    (inbound, readable)
}
