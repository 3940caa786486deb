//! Limits: ARM's token buckets (compute-and-arm.md E.6), Compute's policies (E.7), Recovery Services' hourly budgets
//! (backup.md §4.4). All of them count in world time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use crate::{
    arm::{Owner, errors},
    path::{Form, Target},
    settings::{BucketSize, Enforce, Throttling},
    wire::{Inbound, Reply},
};

const MICRO: i64 = 1_000_000;

#[derive(Clone, Debug)]
struct Bucket {
    micro_tokens: i64,
    at: Timestamp,
}

#[derive(Clone, Debug)]
struct Window {
    opened: Timestamp,
    used: u32,
}

/// All buckets and windows in use.
#[derive(Clone, Debug, Default)]
pub struct Throttle {
    buckets: BTreeMap<String, Bucket>,
    windows: BTreeMap<String, Window>,
}

/// What a request costs: one token of each of these.
struct Charge {
    key: String,
    size: BucketSize,
    /// The header that shows what remains, or the Compute policy.
    shown: Shown,
}

enum Shown {
    Header(String),
    Policy(&'static str),
}

impl Throttle {
    /// Takes a request's tokens. `Ok` holds the headers that tell what remains; `Err` is the 429.
    pub fn admit(&mut self, req: &Inbound, target: &Target, owner: Owner, limits: &Throttling) -> Result<Vec<(String, String)>, Reply> {
        let hourly = hourly(req, target, owner, limits);
        let mut charges = arm_charges(req, target, limits, hourly.is_some());
        if matches!(owner, Owner::Compute) {
            charges.extend(compute_charges(req, target, limits));
        }
        let refuses = limits.enforce == Enforce::Refuse;
        for charge in &charges {
            let wait = self.wait(charge, req.now);
            if wait > 0 && refuses {
                return Err(refused(req, charge, wait));
            }
        }
        let mut headers = Vec::new();
        if let Some((action, limit)) = hourly {
            let remaining = self.take_hourly(req, &action, limit, refuses)?;
            headers.push(("x-ms-ratelimit-remaining-subscription-resource-requests".to_owned(), remaining.to_string()));
        }
        let mut policies = Vec::new();
        for charge in &charges {
            let remaining = self.take(charge, req.now);
            match &charge.shown {
                Shown::Header(name) if !name.is_empty() => headers.push((name.clone(), remaining.to_string())),
                Shown::Header(_) => {}
                Shown::Policy(policy) => policies.push(format!("Microsoft.Compute/{policy};{remaining}")),
            }
        }
        if !policies.is_empty() {
            headers.push(("x-ms-ratelimit-remaining-resource".to_owned(), policies.join(",")));
            headers.push(("x-ms-request-charge".to_owned(), "1".to_owned()));
        }
        Ok(headers)
    }

    /// Requests of somebody else in a subscription: `reads`, `writes` or `deletes` take from the bucket of all its
    /// principals, an action of Recovery Services (`Microsoft.RecoveryServices/vaults/backupJobs/read`) from its hour.
    pub fn spend(&mut self, subscription: &str, what: &str, count: u32, (now, limits): (Timestamp, &Throttling)) {
        let subscription = subscription.to_ascii_lowercase();
        let size = match what {
            "reads" => limits.reads,
            "writes" => limits.writes,
            "deletes" => limits.deletes,
            action => {
                let key = format!("{subscription} {}", action.to_ascii_lowercase());
                self.windows.entry(key).or_insert(Window { opened: now, used: 0 }).used += count;
                return;
            }
        };
        let charge = global(&subscription, what, size, limits, Shown::Header(String::new()));
        let bucket = self.filled(&charge, now);
        bucket.micro_tokens = (bucket.micro_tokens - i64::from(count) * MICRO).max(0);
    }

    fn filled(&mut self, charge: &Charge, now: Timestamp) -> &mut Bucket {
        let full = i64::from(charge.size.bucket) * MICRO;
        let bucket = self.buckets.entry(charge.key.clone()).or_insert(Bucket { micro_tokens: full, at: now });
        let elapsed = now.duration_since(bucket.at).as_secs_f64().max(0.0);
        let gained = (elapsed * charge.size.per_second * MICRO as f64).min(full as f64) as i64;
        bucket.micro_tokens = bucket.micro_tokens.saturating_add(gained).min(full);
        bucket.at = bucket.at.max(now);
        bucket
    }

    /// Seconds until there is a token; 0 when there is one.
    fn wait(&mut self, charge: &Charge, now: Timestamp) -> u64 {
        let missing = MICRO - self.filled(charge, now).micro_tokens;
        if missing <= 0 {
            return 0;
        }
        let rate = (charge.size.per_second * MICRO as f64).max(1.0);
        (missing as f64 / rate).ceil().max(1.0) as u64
    }

    fn take(&mut self, charge: &Charge, now: Timestamp) -> i64 {
        let bucket = self.filled(charge, now);
        bucket.micro_tokens = (bucket.micro_tokens - MICRO).max(0);
        bucket.micro_tokens / MICRO
    }

    fn take_hourly(&mut self, req: &Inbound, action: &str, limit: u32, refuses: bool) -> Result<u32, Reply> {
        const HOUR: i64 = 3_600;
        let subscription = req.path.get(1).map(|id| id.to_ascii_lowercase()).unwrap_or_default();
        let key = format!("{subscription} {}", action.to_ascii_lowercase());
        let window = self.windows.entry(key).or_insert(Window { opened: req.now, used: 0 });
        if req.now.duration_since(window.opened).as_secs() >= HOUR {
            *window = Window { opened: req.now, used: 0 };
        }
        if window.used >= limit && refuses {
            let wait = (HOUR - req.now.duration_since(window.opened).as_secs()).max(1);
            let message = format!(
                "Number of requests for action '{action}' exceeded the limit of '{limit}' for time interval '01:00:00'. \
                 Please try again after '{wait}' seconds."
            );
            return Err(errors::gateway(429, "ResourceRequestsThrottled", message).with_header("retry-after", wait.to_string()));
        }
        window.used += 1;
        Ok(limit.saturating_sub(window.used))
    }
}

fn refused(req: &Inbound, charge: &Charge, wait: u64) -> Reply {
    match charge.shown {
        Shown::Header(_) => {
            let message = format!(
                "Number of requests for subscription '{}' and operation '{}{}' exceeded the backend storage limit. Please try again after '{wait}' seconds.",
                req.path.get(1).map_or("", String::as_str),
                req.method,
                req.raw_path().to_uppercase()
            );
            errors::gateway(429, "SubscriptionRequestsThrottled", message).with_header("retry-after", wait.to_string())
        }
        Shown::Policy(policy) => {
            let measured = json!({"operationGroup": policy, "startTime": req.now.to_string(), "endTime": req.now.to_string(),
                "allowedRequestCount": charge.size.bucket, "measuredRequestCount": charge.size.bucket + 1});
            let message = "The server rejected the request because too many requests have been received for this subscription.";
            let body = json!({"error": {"code": "OperationNotAllowed", "message": message,
                "details": [{"code": "TooManyRequests", "target": policy, "message": measured.to_string()}],
                "innererror": {"internalErrorCode": "TooManyRequestsReceived"}}});
            Reply::json(429, body).with_header("retry-after", wait.to_string())
        }
    }
}

/// One bucket of the principal, one of everybody in the subscription.
fn arm_charges(req: &Inbound, target: &Target, limits: &Throttling, hourly: bool) -> Vec<Charge> {
    let (class, size) = match req.method.as_str() {
        "GET" | "HEAD" => ("reads", limits.reads),
        "DELETE" => ("deletes", limits.deletes),
        _ => ("writes", limits.writes),
    };
    let Some(subscription) = target.subscription.as_ref().map(|id| id.to_ascii_lowercase()) else {
        let key = format!("tenant {} {} {class}", req.caller.tenant_id, req.caller.object_id);
        return vec![Charge { key, size, shown: Shown::Header(format!("x-ms-ratelimit-remaining-tenant-{class}")) }];
    };
    let named = |name: String| Shown::Header(if hourly { String::new() } else { name });
    vec![
        Charge {
            key: format!("{subscription} {} {class}", req.caller.object_id),
            size,
            shown: named(format!("x-ms-ratelimit-remaining-subscription-{class}")),
        },
        global(&subscription, class, size, limits, named(format!("x-ms-ratelimit-remaining-subscription-global-{class}"))),
    ]
}

/// The bucket of all principals of a subscription.
fn global(subscription: &str, class: &str, size: BucketSize, limits: &Throttling, shown: Shown) -> Charge {
    let factor = limits.global_factor.max(1);
    let size = BucketSize { bucket: size.bucket.saturating_mul(factor), per_second: size.per_second * f64::from(factor) };
    Charge { key: format!("{subscription} {class}"), size, shown }
}

/// A policy with its bucket and what it regains per minute; per resource when the last field says so.
type Policy = (&'static str, u32, f64, bool);

/// Compute's policies for a request (compute-and-arm.md E.7).
fn policies(req: &Inbound, target: &Target) -> Vec<Policy> {
    // A "3Min"/"30Min" window of n is taken as a bucket of n that refills in that time.
    let windows = |short: &'static str, n: u32, long: &'static str, m: u32| {
        vec![(short, n, f64::from(n) / 3.0, false), (long, m, f64::from(m) / 30.0, false)]
    };
    let machine = |resource: &'static str, whole: &'static str| vec![(resource, 12, 4.0, true), (whole, 1_500, 500.0, false)];
    let (kind, list) = (target.type_path(), target.form() == Form::Collection);
    match (kind.as_str(), req.method.as_str()) {
        ("disks", "PUT" | "PATCH") => windows("CreateUpdateDisks3Min", 3_000, "CreateUpdateDisks30Min", 25_000),
        ("disks", "DELETE") => windows("DeleteDisks3Min", 3_000, "DeleteDisks30Min", 24_000),
        ("disks", "GET") if list => windows("HighCostGet3Min", 240, "HighCostGet30Min", 1_920),
        ("disks", _) => windows("LowCostGet3Min", 15_000, "LowCostGet30Min", 120_000),
        ("locations/diskoperations", _) => windows("GetOperation3Min", 50_000, "GetOperation30Min", 400_000),
        ("locations/operations", _) => {
            vec![("GetOperationResource", 45, 15.0, true), ("GetOperationSubscriptionMaximum", 15_000, 5_000.0, false)]
        }
        ("virtualmachines", "PUT") => machine("PutVMResource", "PutVMSubscriptionMaximum"),
        ("virtualmachines", "DELETE") => machine("DeleteVMResource", "DeleteVMSubscriptionMaximum"),
        ("virtualmachines", "POST") if target.verb.as_deref().is_some_and(|verb| verb.eq_ignore_ascii_case("deallocate")) => {
            machine("DeleteVMResource", "DeleteVMSubscriptionMaximum")
        }
        ("virtualmachines", "PATCH" | "POST") => machine("UpdateVMResource", "UpdateVMSubscriptionMaximum"),
        ("virtualmachines" | "virtualmachines/instanceview", _) if !list || kind != "virtualmachines" => {
            vec![("LowCostGetResource", 36, 12.0, true), ("LowCostGetSubscriptionMaximum", 24_000, 8_000.0, false)]
        }
        _ => vec![("HighCostGetSubscriptionMaximum", 900, 300.0, false)],
    }
}

fn compute_charges(req: &Inbound, target: &Target, limits: &Throttling) -> Vec<Charge> {
    let subscription = target.subscription.as_deref().unwrap_or_default().to_ascii_lowercase();
    let resource = target.resource_id().to_ascii_lowercase();
    let charge = |(name, bucket, per_minute, per_resource): Policy| {
        let bucket = ((f64::from(bucket) * limits.compute_scale).round() as u32).max(1);
        let whose = if per_resource { &resource } else { &subscription };
        Charge {
            key: format!("{whose} {name}"),
            size: BucketSize { bucket, per_second: per_minute * limits.compute_scale / 60.0 },
            shown: Shown::Policy(name),
        }
    };
    policies(req, target).into_iter().map(charge).collect()
}

/// The action and hourly limit of a request to Recovery Services, if it has one of its own.
fn hourly(req: &Inbound, target: &Target, owner: Owner, limits: &Throttling) -> Option<(String, u32)> {
    if owner != Owner::Recovery {
        return None;
    }
    let kind = target.type_path();
    let limit = match (kind.as_str(), req.method.as_str()) {
        ("vaults", "PUT" | "PATCH") => limits.vault_writes_per_hour,
        ("vaults", "DELETE") => limits.vault_deletes_per_hour,
        // Recorded answers of vaults and of their operations carry no such limit.
        ("vaults" | "vaults/operationstatus" | "vaults/operationresults", _) => return None,
        (jobs, "GET") if jobs.starts_with("vaults/backupjobs") => limits.backup_job_reads_per_hour,
        (_, "GET") => limits.backup_reads_per_hour,
        _ => return None,
    };
    let verb = if req.method == "GET" {
        "read"
    } else if req.method == "DELETE" {
        "delete"
    } else {
        "write"
    };
    Some((format!("Microsoft.RecoveryServices/{}/{verb}", target.types.join("/")), limit))
}
