//! The marketplace: a short list of real images, each in one version, so that clients which look an image up before they
//! make a machine of it find it. What is not listed does not exist here; machines of other images can be made all the same.

use serde_json::{Value, json};

use crate::{
    path::Target,
    wire::{Inbound, Reply},
};

/// The one version of every image; made up.
pub const VERSION: &str = "1.0.20260101";

/// One image: publisher, offer, SKU, and whether it is Windows.
struct Image {
    publisher: &'static str,
    offer: &'static str,
    sku: &'static str,
    windows: bool,
}

const fn linux(publisher: &'static str, offer: &'static str, sku: &'static str) -> Image {
    Image { publisher, offer, sku, windows: false }
}

const fn windows(sku: &'static str) -> Image {
    Image { publisher: "MicrosoftWindowsServer", offer: "WindowsServer", sku, windows: true }
}

/// Generation 2 images: those of az's aliases and a few that documentation uses.
const IMAGES: [Image; 18] = [
    linux("Canonical", "0001-com-ubuntu-server-focal", "20_04-lts-gen2"),
    linux("Canonical", "0001-com-ubuntu-server-jammy", "22_04-lts-gen2"),
    linux("Canonical", "ubuntu-24_04-lts", "server"),
    linux("Debian", "debian-11", "11-backports-gen2"),
    linux("Debian", "debian-12", "12-gen2"),
    linux("kinvolk", "flatcar-container-linux-free", "stable-gen2"),
    linux("microsoftazurelinux", "azurelinux-4", "4"),
    linux("OpenLogic", "CentOS", "8_5-gen2"),
    linux("RedHat", "RHEL", "8-lvm-gen2"),
    linux("RedHat", "RHEL", "9-lvm-gen2"),
    linux("SUSE", "openSUSE-leap-15-4", "gen2"),
    linux("SUSE", "sles-15-sp3", "gen2"),
    windows("2016-datacenter-gensecond"),
    windows("2019-datacenter-gensecond"),
    windows("2022-datacenter-azure-edition"),
    windows("2022-datacenter-azure-edition-core"),
    windows("2022-datacenter-g2"),
    windows("2025-datacenter-g2"),
];

/// Whether a type path belongs to the marketplace.
pub fn knows(type_path: &str) -> bool {
    const TYPES: [&str; 4] = [
        "locations/publishers",
        "locations/publishers/artifacttypes/offers",
        "locations/publishers/artifacttypes/offers/skus",
        "locations/publishers/artifacttypes/offers/skus/versions",
    ];
    TYPES.contains(&type_path)
}

/// Answers `locations/{l}/publishers[/{p}/artifacttypes/vmimage/offers[/{o}/skus[/{s}/versions[/{v}]]]]`.
pub fn get(req: &Inbound, target: &Target) -> Reply {
    // Names after the namespace: region, publisher, `vmimage`, offer, SKU, version.
    let name = |at: usize| target.names.get(at).map(String::as_str);
    let same = |asked: Option<&str>, known: &str| asked.is_none_or(|asked| asked.eq_ignore_ascii_case(known));
    if !same(name(2), "vmimage") {
        return nothing();
    }
    let found: Vec<&Image> = IMAGES
        .iter()
        .filter(|image| same(name(1), image.publisher) && same(name(3), image.offer) && same(name(4), image.sku))
        .filter(|_| same(name(5), VERSION))
        .collect();
    let Some(first) = found.first() else { return nothing() };
    let base = Base { subscription: target.subscription.as_deref().unwrap_or_default(), location: name(0).unwrap_or_default() };
    match target.names.len() {
        6 => Reply::json(200, base.image(first)),
        depth => {
            let mut listed: Vec<Value> = Vec::new();
            for image in found {
                let entry = base.entry(image, depth);
                if !listed.contains(&entry) {
                    listed.push(entry);
                }
            }
            let newest_first = req.query.get("$orderby").is_some_and(|order| order.to_ascii_lowercase().contains("desc"));
            if newest_first {
                listed.reverse();
            }
            // A bare list, not an object (azure-mgmt-compute, `virtual_machine_images.list`).
            Reply::json(200, json!(listed))
        }
    }
}

fn nothing() -> Reply {
    Reply::error(404, "NotFound", "Artifact: VMImage was not found.")
}

struct Base<'a> {
    subscription: &'a str,
    location: &'a str,
}

impl Base<'_> {
    fn id(&self, image: &Image, depth: usize) -> (String, &'static str) {
        let mut id = format!(
            "/Subscriptions/{}/Providers/Microsoft.Compute/Locations/{}/Publishers/{}",
            self.subscription, self.location, image.publisher
        );
        let mut name = image.publisher;
        for (at, words, part) in [(3, "/ArtifactTypes/VMImage/Offers/", image.offer), (4, "/Skus/", image.sku), (5, "/Versions/", VERSION)]
        {
            if depth >= at {
                id.push_str(words);
                id.push_str(part);
                name = part;
            }
        }
        (id, name)
    }

    /// An entry of the list that is asked for with `depth` names.
    fn entry(&self, image: &Image, depth: usize) -> Value {
        let (id, name) = self.id(image, depth);
        json!({"location": self.location, "name": name, "id": id})
    }

    fn image(&self, image: &Image) -> Value {
        let (id, name) = self.id(image, 6);
        let (system, size) = if image.windows { ("Windows", 127) } else { ("Linux", 30) };
        json!({
            "location": self.location, "name": name, "id": id,
            "properties": {
                "hyperVGeneration": "V2",
                "architecture": "x64",
                "replicaType": "Unmanaged",
                "disallowed": {"vmDiskType": "Unmanaged"},
                "automaticOSUpgradeProperties": {"automaticOSUpgradeSupported": false},
                "imageDeprecationStatus": {"imageState": "Active"},
                "features": [
                    {"name": "IsAcceleratedNetworkSupported", "value": "True"},
                    {"name": "SecurityType", "value": "TrustedLaunchSupported"},
                ],
                "osDiskImage": {"operatingSystem": system, "sizeInGb": size},
                "dataDiskImages": [],
            },
        })
    }
}
