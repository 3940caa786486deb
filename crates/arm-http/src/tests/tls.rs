//! HTTPS with a certificate of its own, as the simulator serves it.

use std::sync::Arc;

use breakwater_arm::wire::{Method, Request};
use breakwater_engine::ports::{Arm, SendError};
use hyper_util::{rt::TokioIo, service::TowerToHyperService};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, pki_types::PrivateKeyDer},
};

use super::router::{Script, Source, TOKEN_ANSWER, with_secret};
use crate::{ArmHttp, CloudEndpoints, Endpoints, TransportError};

/// Serves the router over TLS; answers the port and the CA's PEM.
async fn serve(script: &Script) -> (u16, String) {
    let mut ca = rcgen::CertificateParams::new(vec![]).unwrap();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let ca_pem = ca.self_signed(&ca_key).unwrap().pem();
    let issuer = rcgen::Issuer::new(ca, ca_key);
    let leaf_key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".into()]).unwrap().signed_by(&leaf_key, &issuer).unwrap();
    let key = PrivateKeyDer::try_from(leaf_key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let router = script.router();
    tokio::spawn(async move {
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let Ok(stream) = acceptor.accept(socket).await else { continue };
            let service = TowerToHyperService::new(router.clone());
            tokio::spawn(async move { hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await });
        }
    });
    (port, ca_pem)
}

fn endpoints(port: u16, ca: Option<std::path::PathBuf>) -> Endpoints {
    let base = format!("https://127.0.0.1:{port}");
    Endpoints { custom: Some(CloudEndpoints::custom(&base, "https://management.azure.com/.default", &base).unwrap()), extra_root_ca: ca }
}

#[tokio::test]
async fn a_simulator_with_its_own_ca_is_trusted_for_login_and_arm_alike_and_only_then() {
    let script = Script::of(&[(200, "application/json", TOKEN_ANSWER), (200, "application/json", "{}")]);
    let (port, ca_pem) = serve(&script).await;
    let file = std::env::temp_dir().join(format!("breakwater-arm-http-{}-{port}.pem", std::process::id()));
    std::fs::write(&file, ca_pem).unwrap();
    let request = Request::new(Method::Get, "/subscriptions/11111111-1111-1111-1111-111111111111", "1");

    let stranger = ArmHttp::new(endpoints(port, None), Arc::new(Source::default())).unwrap();
    let error = stranger.call(&with_secret(), &request).await.unwrap_err();
    assert!(matches!(error, SendError::NotSent(_)), "{error}");
    assert_eq!(script.count(), 0);

    let client = ArmHttp::new(endpoints(port, Some(file.clone())), Arc::new(Source::default())).unwrap();
    assert_eq!(client.call(&with_secret(), &request).await.unwrap().status, 200);
    assert_eq!(script.count(), 2);
    assert!(script.nth(1).header("accept-encoding").is_some_and(|e| e.contains("gzip")));
    std::fs::remove_file(file).unwrap();
}

#[tokio::test]
async fn a_ca_file_that_is_none_is_refused() {
    let missing = ArmHttp::new(endpoints(1, Some("/nonexistent/ca.pem".into())), Arc::new(Source::default()));
    assert!(matches!(missing, Err(TransportError::Unreadable { .. })));
    let empty = std::env::temp_dir().join(format!("breakwater-arm-http-{}.empty.pem", std::process::id()));
    std::fs::write(&empty, "nothing here").unwrap();
    let none = ArmHttp::new(endpoints(1, Some(empty.clone())), Arc::new(Source::default()));
    assert!(matches!(none, Err(TransportError::NoCertificates(_))));
    std::fs::remove_file(empty).unwrap();
}
