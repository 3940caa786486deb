//! The plane's own certificates and keys, made anew for every plane by `rcgen`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_RSA_SHA256,
};

/// Names and addresses that the API server answers to: loopback, and what a pod would call it.
const SERVER_NAMES: [&str; 4] = ["127.0.0.1", "localhost", "10.0.0.1", "kubernetes.default.svc"];

/// A certificate and its key, as PEM files.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The certificate.
    pub cert: PathBuf,
    /// The private key.
    pub key: PathBuf,
}

/// Every file of the plane's PKI.
#[derive(Clone, Debug)]
pub struct Pki {
    /// The certificate of the one CA, for servers and clients.
    pub ca: PathBuf,
    /// The API server's own.
    pub server: Identity,
    /// Group `system:masters`: may do everything.
    pub admin: Identity,
    /// User `system:kube-controller-manager`.
    pub controller_manager: Identity,
    /// The key pair that ServiceAccount tokens are signed with: `cert` is the public key.
    pub service_accounts: Identity,
}

impl Pki {
    /// Makes all keys and certificates and writes them into `dir`, which must exist.
    ///
    /// # Errors
    /// A file that cannot be written; a key that cannot be made.
    pub fn create(dir: &Path) -> Result<Self> {
        let ca_key = KeyPair::generate().context("the CA's key")?;
        let mut ca = subject(&[], "breakwater-dev-plane", None)?;
        ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
        let ca_cert = ca.self_signed(&ca_key).context("the CA's certificate")?;
        let ca_file = write(dir, "ca.crt", &ca_cert.pem())?;
        let issuer = Issuer::new(ca, ca_key);

        let client = ExtendedKeyUsagePurpose::ClientAuth;
        let server = subject(&SERVER_NAMES, "kube-apiserver", None)?;
        let admin = subject(&[], "admin", Some("system:masters"))?;
        let controller_manager = subject(&[], "system:kube-controller-manager", None)?;
        Ok(Self {
            ca: ca_file,
            server: signed(dir, "server", server, ExtendedKeyUsagePurpose::ServerAuth, &issuer)?,
            admin: signed(dir, "admin", admin, client.clone(), &issuer)?,
            controller_manager: signed(dir, "controller-manager", controller_manager, client, &issuer)?,
            service_accounts: token_keys(dir)?,
        })
    }
}

fn subject(names: &[&str], common_name: &str, organization: Option<&str>) -> Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names).context("names of a certificate")?;
    params.distinguished_name.push(DnType::CommonName, common_name);
    if let Some(organization) = organization {
        params.distinguished_name.push(DnType::OrganizationName, organization);
    }
    Ok(params)
}

fn signed(
    dir: &Path,
    name: &str,
    mut params: CertificateParams,
    usage: ExtendedKeyUsagePurpose,
    issuer: &Issuer<'_, KeyPair>,
) -> Result<Identity> {
    let key = KeyPair::generate().with_context(|| format!("{name}'s key"))?;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    let cert = params.signed_by(&key, issuer).with_context(|| format!("{name}'s certificate"))?;
    Ok(Identity { cert: write(dir, &format!("{name}.crt"), &cert.pem())?, key: write(dir, &format!("{name}.key"), &key.serialize_pem())? })
}

/// RSA, because that is what clusters publish and what Entra was built to check (RS256).
fn token_keys(dir: &Path) -> Result<Identity> {
    let key = KeyPair::generate_for(&PKCS_RSA_SHA256).context("the key of ServiceAccount tokens")?;
    Ok(Identity { cert: write(dir, "sa.pub", &key.public_key_pem())?, key: write(dir, "sa.key", &key.serialize_pem())? })
}

fn write(dir: &Path, name: &str, pem: &str) -> Result<PathBuf> {
    let path = dir.join(name);
    fs::write(&path, pem).with_context(|| format!("writing {}", path.display()))?;
    Ok(path)
}
