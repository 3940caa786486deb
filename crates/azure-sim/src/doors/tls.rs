//! Listening: plain and with a certificate of the simulator's own authority, on loopback only.

use std::{net::SocketAddr, sync::Arc};

use axum::Router;
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
    service::TowerToHyperService,
};
use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::doors::{DoorError, http::Cut};

/// The simulator's certificate authority, and the certificate of its HTTPS door.
pub struct Authority {
    /// The authority's certificate in PEM, for clients to trust.
    pub ca_pem: String,
    acceptor: TlsAcceptor,
}

impl Authority {
    /// A new authority with a certificate for `localhost`, `127.0.0.1` and `::1`.
    ///
    /// # Errors
    /// Only when the cryptography library fails.
    pub fn new() -> Result<Self, DoorError> {
        let ca_key = KeyPair::generate()?;
        let mut ca = CertificateParams::new(Vec::new())?;
        ca.distinguished_name.push(DnType::CommonName, "azure-sim authority");
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let ca_certificate = ca.self_signed(&ca_key)?;
        let issuer = Issuer::new(ca, ca_key);
        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])?;
        leaf.distinguished_name.push(DnType::CommonName, "localhost");
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.use_authority_key_identifier_extension = true;
        let certificate = leaf.signed_by(&key, &issuer)?;
        let chain: Vec<CertificateDer<'static>> = vec![certificate.der().clone(), ca_certificate.der().clone()];
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, private)?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Authority { ca_pem: ca_certificate.pem(), acceptor: TlsAcceptor::from(Arc::new(config)) })
    }
}

/// A bound listener on loopback; port 0 takes a free one.
///
/// # Errors
/// When the port is taken.
pub async fn bind(port: u16) -> Result<(TcpListener, SocketAddr), DoorError> {
    let failed = |source| DoorError::Bind { port, source };
    let listener = TcpListener::bind(("127.0.0.1", port)).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves a router on a listener for ever, with TLS when an authority is given.
pub async fn serve(listener: TcpListener, router: Router, authority: Option<Arc<Authority>>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else { continue };
        let (router, authority) = (router.clone(), authority.clone());
        tokio::spawn(async move {
            if let Err(error) = connection(stream, router, authority).await {
                tracing::debug!(%error, "a connection ended early");
            }
        });
    }
}

async fn connection(stream: TcpStream, router: Router, authority: Option<Arc<Authority>>) -> std::io::Result<()> {
    stream.set_nodelay(true)?;
    match authority {
        Some(authority) => speak(authority.acceptor.accept(stream).await?, router).await,
        None => speak(stream, router).await,
    }
}

async fn speak<S>(stream: S, router: Router) -> std::io::Result<()>
where
    S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let guarded = tower_service(router);
    let builder = auto::Builder::new(TokioExecutor::new()).http1_only();
    builder.serve_connection(TokioIo::new(stream), TowerToHyperService::new(guarded)).await.map_err(std::io::Error::other)
}

/// An answer marked as cut becomes an error of the service, upon which hyper closes the connection without a byte.
fn tower_service(
    router: Router,
) -> impl tower::Service<http::Request<hyper::body::Incoming>, Response = axum::response::Response, Error = std::io::Error, Future: Send> + Clone
{
    tower::service_fn(move |request: http::Request<hyper::body::Incoming>| {
        let router = router.clone();
        async move {
            let response =
                tower::ServiceExt::oneshot(router, request.map(axum::body::Body::new)).await.unwrap_or_else(|never| match never {});
            if response.extensions().get::<Cut>().is_some() {
                return Err(std::io::Error::new(std::io::ErrorKind::ConnectionReset, "cut by a fault rule"));
            }
            Ok(response)
        }
    })
}
