//! Where each cloud is (compute-and-arm.md E.1), and how an operator's flags may say otherwise.

use std::path::PathBuf;

use breakwater_engine::ports::Cloud;
use url::{Host, Url};

/// One cloud's addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudEndpoints {
    arm: Url,
    scope: String,
    authority: Url,
}

/// An address that must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EndpointError {
    /// It is no URL.
    #[error("{0:?} is no URL")]
    NotAUrl(String),
    /// Tokens would travel in the clear.
    #[error("the ARM endpoint {0} must be https (http is for loopback addresses only)")]
    ArmInTheClear(Url),
    /// azure_identity refuses anything else.
    #[error("the authority {0} must be https")]
    AuthorityInTheClear(Url),
}

impl CloudEndpoints {
    /// Addresses of a cloud that is none of the three: a private one, or a simulator.
    ///
    /// `scope` is what tokens are asked for (`https://management.azure.com/.default`).
    ///
    /// # Errors
    /// When a token could be read on the way.
    pub fn custom(arm: &str, scope: &str, authority: &str) -> Result<Self, EndpointError> {
        let url = |text: &str| Url::parse(text).map_err(|_| EndpointError::NotAUrl(text.to_owned()));
        let (arm, authority) = (url(arm)?, url(authority)?);
        if arm.scheme() != "https" && !(arm.scheme() == "http" && is_loopback(&arm)) {
            return Err(EndpointError::ArmInTheClear(arm));
        }
        if authority.scheme() != "https" {
            return Err(EndpointError::AuthorityInTheClear(authority));
        }
        Ok(CloudEndpoints { arm, scope: scope.to_owned(), authority })
    }

    /// ARM's base URL.
    pub fn arm(&self) -> &Url {
        &self.arm
    }

    /// What tokens are asked for.
    pub fn scope(&self) -> &str {
        &self.scope
    }

    /// The login host.
    pub fn authority(&self) -> &Url {
        &self.authority
    }
}

fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name.eq_ignore_ascii_case("localhost"),
        None => false,
    }
}

/// The addresses in use.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoints {
    /// Stands for every cloud, when given.
    pub custom: Option<CloudEndpoints>,
    /// A PEM file of certificates that are trusted besides the system's.
    pub extra_root_ca: Option<PathBuf>,
}

impl Endpoints {
    /// The addresses of a cloud.
    pub fn of(&self, cloud: Cloud) -> CloudEndpoints {
        if let Some(custom) = &self.custom {
            return custom.clone();
        }
        let (arm, scope, authority) = match cloud {
            Cloud::AzurePublic => {
                ("https://management.azure.com", "https://management.azure.com/.default", "https://login.microsoftonline.com")
            }
            // the token's audience says *core*
            Cloud::AzureUsGovernment => (
                "https://management.usgovcloudapi.net",
                "https://management.core.usgovcloudapi.net/.default",
                "https://login.microsoftonline.us",
            ),
            Cloud::AzureChina => {
                ("https://management.chinacloudapi.cn", "https://management.chinacloudapi.cn/.default", "https://login.chinacloudapi.cn")
            }
        };
        CloudEndpoints::custom(arm, scope, authority).expect("the table above holds https URLs")
    }
}
