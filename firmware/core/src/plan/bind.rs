//! Which network card has a role on this box: the one with the hardware address that the node names, whatever the kernel
//! calls it, else the one of the configured name.

use super::observed::Link;
use crate::model::Device;
use crate::model::config::{Config, Node};
use crate::model::text::Mac;
use alloc::borrow::Cow;
use alloc::collections::BTreeMap;

/// The card with this address. VLANs have the address of the card below them and are none.
#[must_use]
pub fn card(links: &BTreeMap<Device, Link>, mac: Mac) -> Option<&Device> {
    let cards = links.iter().filter(|(_, link)| link.vlan.is_none());
    cards.into_iter().find(|(_, link)| link.mac == mac.octets()).map(|(device, _)| device)
}

/// The configuration as it reads on this box. A role whose card is not there has no device: nothing that belongs to it may
/// end up on another card. Copied only when something differs.
#[must_use]
pub fn bound<'a>(config: &'a Config, node: &Node, links: &BTreeMap<Device, Link>) -> Cow<'a, Config> {
    let mut bound = Cow::Borrowed(config);
    for (role, mac) in &node.macs {
        let device = card(links, *mac);
        let differs = config.interfaces.get(role).is_some_and(|i| i.device.as_ref() != device);
        if differs && let Some(interface) = bound.to_mut().interfaces.get_mut(role) {
            interface.device = device.cloned();
        }
    }
    bound
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::validate::fixture::{five_node, name};
    use crate::plan::VlanSpec;

    const OUTER: [u8; 6] = [0x52, 0x54, 0, 0, 0, 1];

    fn links() -> BTreeMap<Device, Link> {
        let card = |mac, vlan| Link { mac, vlan, ..Link::default() };
        let below = VlanSpec { parent: "eth1".parse().unwrap(), id: 7 };
        [
            ("dmz", card(OUTER, Some(below))),
            ("eth0", card([0x52, 0x54, 0, 0, 0, 2], None)),
            ("eth1", card(OUTER, None)),
        ]
        .into_iter()
        .map(|(device, link)| (device.parse().unwrap(), link))
        .collect()
    }

    fn device_of_public(mac: Option<&str>) -> Option<Device> {
        let mut config = five_node();
        if let Some(mac) = mac {
            config.primary.macs.insert(name("public"), mac.parse().unwrap());
        }
        bound(&config, &config.primary, &links()).interfaces[&name("public")].device.clone()
    }

    #[test]
    fn a_role_goes_where_its_hardware_address_is() {
        assert_eq!(device_of_public(None).unwrap().as_str(), "eth0");
        assert_eq!(device_of_public(Some("52:54:00:00:00:01")).unwrap().as_str(), "eth1");
    }

    #[test]
    fn a_role_whose_card_is_missing_goes_nowhere() {
        assert_eq!(device_of_public(Some("52:54:00:00:00:09")), None);
    }

    #[test]
    fn nothing_is_copied_when_the_names_are_right() {
        let mut config = five_node();
        config.primary.macs.insert(name("public"), "52:54:00:00:00:02".parse().unwrap());
        assert!(matches!(bound(&config, &config.primary, &links()), Cow::Borrowed(_)));
    }
}
