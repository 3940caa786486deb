//! Azure as the engine sees it: the real client, its endpoints from the flags, and a meter in front.

use std::{sync::Arc, time::Instant};

use anyhow::Context;
use async_trait::async_trait;
use breakwater_arm::wire::{Answer, Request};
use breakwater_arm_http::{ArmHttp, CloudEndpoints, CredentialSource, Endpoints};
use breakwater_engine::{
    budget::Class,
    ports::{Arm, Identity, SendError},
};

use crate::{args::Args, metrics::Metrics};

/// Where tokens come from when a custom endpoint is given without an authority.
const AUTHORITY: &str = "https://login.microsoftonline.com";

/// The client of Azure that these arguments describe, measured. Nothing is sent yet.
///
/// # Errors
/// When an endpoint or a certificate of the flags cannot be used.
pub fn client(args: &Args, credentials: Arc<dyn CredentialSource>, metrics: Metrics) -> anyhow::Result<Arc<dyn Arm>> {
    let endpoints = Endpoints { custom: custom(args)?, extra_root_ca: args.ca_file.clone() };
    let azure = ArmHttp::new(endpoints, credentials).context("cannot make a client for Azure (--ca-file, the system's certificates)")?;
    Ok(Arc::new(Metered { azure: Arc::new(azure), metrics }))
}

fn custom(args: &Args) -> anyhow::Result<Option<CloudEndpoints>> {
    let (Some(endpoint), Some(scope)) = (&args.arm_endpoint, args.scope()) else { return Ok(None) };
    let authority = args.authority.as_ref().map_or(AUTHORITY, url::Url::as_str);
    CloudEndpoints::custom(endpoint.as_str(), &scope, authority).map(Some).context("--arm-endpoint and --authority")
}

/// Counts calls and their time, by class, method and result.
struct Metered {
    azure: Arc<dyn Arm>,
    metrics: Metrics,
}

#[async_trait]
impl Arm for Metered {
    async fn ready(&self, identity: &Identity) -> Result<(), SendError> {
        self.azure.ready(identity).await
    }

    async fn call(&self, identity: &Identity, request: &Request) -> Result<Answer, SendError> {
        self.call_if(identity, request, &|| true).await
    }

    async fn call_if(
        &self,
        identity: &Identity,
        request: &Request,
        may_leave: &(dyn Fn() -> bool + Send + Sync),
    ) -> Result<Answer, SendError> {
        let began = Instant::now();
        let result = self.azure.call_if(identity, request, may_leave).await;
        // The most specific of the classes that the budget counts it against.
        let class = Class::of(request).last().map_or("none", |class| class.as_str());
        let word = match &result {
            Ok(answer) => answer.status.to_string(),
            Err(SendError::NotSent(_) | SendError::BadLink(_)) => "not-sent".to_owned(),
            Err(SendError::NoToken(_)) => "no-token".to_owned(),
            Err(SendError::Unknown(_)) => "unknown".to_owned(),
        };
        self.metrics.record_arm_call(class, request.method.as_str(), &word, began.elapsed());
        result
    }
}

#[cfg(test)]
mod tests {
    use breakwater_arm::wire::Method;
    use breakwater_engine::ports::{Cloud, Credential};
    use clap::Parser;

    use super::*;

    fn somebody() -> Identity {
        Identity {
            access: "production".into(),
            cloud: Cloud::AzurePublic,
            tenant_id: "t".into(),
            credential: Credential::Operator { client_id: "c".into() },
        }
    }

    struct Scripted(Result<Answer, SendError>);

    #[async_trait]
    impl Arm for Scripted {
        async fn call(&self, _: &Identity, _: &Request) -> Result<Answer, SendError> {
            self.0.clone()
        }

        async fn call_if(
            &self,
            identity: &Identity,
            request: &Request,
            may_leave: &(dyn Fn() -> bool + Send + Sync),
        ) -> Result<Answer, SendError> {
            // As late as the real client asks: what holds when the call begins need not hold when it leaves.
            tokio::task::yield_now().await;
            if may_leave() { self.call(identity, request).await } else { Err(SendError::NotSent("too late".into())) }
        }
    }

    #[tokio::test]
    async fn whether_a_request_may_leave_is_asked_where_it_leaves() {
        let azure = Arc::new(Scripted(Ok(Answer::default())));
        let metered = Metered { azure, metrics: Metrics::default() };
        let identity = somebody();
        let get = Request::new(Method::Get, "/subscriptions/s/resources", "1");
        let leads = std::sync::atomic::AtomicBool::new(true);
        let may_leave = || leads.load(std::sync::atomic::Ordering::SeqCst);
        let (called, ()) = tokio::join!(metered.call_if(&identity, &get, &may_leave), async {
            leads.store(false, std::sync::atomic::Ordering::SeqCst);
        });
        assert_eq!(called, Err(SendError::NotSent("too late".into())));
    }

    #[tokio::test]
    async fn calls_are_counted_by_class_method_and_result_and_passed_on_unchanged() {
        let metrics = Metrics::default();
        let identity = somebody();
        let put = Request::new(Method::Put, "/subscriptions/s/resourceGroups/g/providers/P/vaults/v/backupPolicies/p", "1");
        let get = Request::new(Method::Get, "/subscriptions/s/resources", "1");
        let accepted = Ok(Answer { status: 202, ..Answer::default() });
        for (request, result) in [(&put, accepted), (&get, Err(SendError::Unknown("cut".into())))] {
            let metered = Metered { azure: Arc::new(Scripted(result.clone())), metrics: metrics.clone() };
            assert_eq!(metered.call(&identity, request).await, result);
        }
        let page = metrics.encode().unwrap();
        assert!(page.contains(r#"breakwater_arm_calls_total{class="policy-write",method="PUT",result="202"} 1"#), "{page}");
        assert!(page.contains(r#"breakwater_arm_calls_total{class="read",method="GET",result="unknown"} 1"#), "{page}");
    }

    #[test]
    fn endpoints_come_from_the_flags_or_from_the_cloud() {
        let args = |line: &str| Args::parse_from(["x", "--estate", "a"].into_iter().chain(line.split_whitespace()));
        assert_eq!(custom(&args("")).unwrap(), None);
        let given = custom(&args("--arm-endpoint https://127.0.0.1:4000 --authority https://127.0.0.1:4000")).unwrap().unwrap();
        assert_eq!((given.arm().as_str(), given.scope()), ("https://127.0.0.1:4000/", "https://127.0.0.1:4000/.default"));
        let stack = custom(&args("--arm-endpoint https://arm.example.com")).unwrap().unwrap();
        assert_eq!(stack.authority().as_str(), "https://login.microsoftonline.com/");
    }
}
