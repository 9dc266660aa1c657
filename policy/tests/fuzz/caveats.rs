//! Caveats and requests over a few resources, so that they often name the same ones.

use petsem_policy::{
    Access, Action, ActionSet, Actions, Ancestors, Apps, BootGrant, BreakGlass, Caveat, CaveatSet,
    CommandArgs, Exchanged, Hosts, IfPresent, Machines, Network, Networks, Operator, Organization,
    SecondPerson, SecretKeys, SecretNames, Subject, ThirdParty, TokenId,
};
use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use proptest::sample::select;

pub(crate) const NOW: i64 = 1_800_000_000;
pub(crate) const HERE: &str = "https://petsem.example";
pub(crate) const THIRD_PARTY: &str = "https://auth.example";

/// The first one is the most frequent.
const IDS: [[u8; 16]; 4] = [[1; 16], [1; 16], [1; 16], [2; 16]];
const NAMES: [&str; 5] = ["a", "a", "a", "ab", "b"];
const PEERS: [&str; 4] = ["10.1.2.3", "192.0.2.1", "2001:db8::1", "::ffff:10.1.2.3"];
const NETWORKS: [&str; 5] = ["10.0.0.0/8", "10.1.2.3/32", "0.0.0.0/0", "2001:db8::/32", "::/0"];

/// A petsem caveat of any type, in canonical form.
pub(crate) fn petsem() -> BoxedStrategy<Caveat> {
    let id = || select(IDS.as_slice());
    let name = || select(NAMES.as_slice()).prop_map(str::to_owned);
    let names = move || vec(name(), 0..3);
    let end = || select([NOW - 1, NOW, NOW + 60, NOW + 3600, NOW + 3601, i64::MAX, i64::MIN].as_slice());
    let networks = vec(select(NETWORKS.as_slice()), 0..3).prop_map(|texts| {
        Networks::new(texts.into_iter().map(|text| text.parse::<Network>().unwrap())).unwrap().into()
    });
    prop_oneof![
        1 => id().prop_map(|org| Organization { org }.into()),
        4 => prop_oneof![2 => vec(id(), 1), 1 => vec(id(), 0..3)].prop_map(|ids| Apps::new(ids).into()),
        1 => (names(), names()).prop_map(|(exact, prefixes)| SecretNames::new(exact, prefixes).into()),
        2 => prop_oneof![1 => any::<u16>(), 1 => Just(1), 1 => Just(32), 3 => Just(0x3ff)]
            .prop_map(|bits| Actions(ActionSet::from_bits(bits)).into()),
        1 => names().prop_map(|names| Machines::new(names).into()),
        1 => names().prop_map(|names| Hosts::new(names).into()),
        1 => (id(), id(), name(), name(), end()).prop_map(|(org, app, machine, host, expires)| {
            BootGrant { org, app, machine, host, expires, provenance: "{}".to_owned() }.into()
        }),
        1 => name().prop_map(|sub| Subject { issuer: "i".to_owned(), sub }.into()),
        2 => vec(id(), 0..3)
            .prop_map(|ids| Ancestors(ids.into_iter().map(TokenId::from_bytes).collect()).into()),
        1 => (names(), names()).prop_map(|(labels, prefixes)| SecretKeys::new(labels, prefixes).into()),
        1 => networks,
        1 => Just(Operator.into()),
        2 => (name(), end()).prop_map(|(sub, expires)| {
            let claims = format!("{{\"sub\":\"{sub}\"}}");
            let (issuer, jti, rule) = ("i".to_owned(), String::new(), "r".to_owned());
            Exchanged { issuer, sub, jti, rule, claims, issued: 0, expires }.into()
        }),
        1 => (id(), id(), end(), id(), name(), name()).prop_map(|(org, app, expires, request, requester, approver)| {
            BreakGlass { org, app, expires, request, requester, approver }.into()
        }),
        1 => (id(), name(), name())
            .prop_map(|(request, requester, reason)| SecondPerson { request, requester, reason }.into()),
    ]
    .boxed()
}

/// One of the format's own caveats, in canonical form.
pub(crate) fn fly() -> BoxedStrategy<Caveat> {
    let text = || select(["", "a", "m1", "a longer text of more than thirty-one bytes"].as_slice());
    let text = move || text().prop_map(str::to_owned);
    let number = || prop_oneof![0_u64..200, any::<u64>(), any::<u32>().prop_map(u64::from)];
    let mask = || prop_oneof![Just(1_u16), Just(0x3ff), any::<u16>()];
    let texts = move || proptest::option::of(btree_map(text(), mask(), 0..4));
    let bytes = || vec(any::<u8>(), 0..40);
    let time = || prop_oneof![(-5_i64..5).prop_map(|off| NOW + off), any::<i64>()];
    prop_oneof![
        4 => (time(), time())
            .prop_map(|(not_before, not_after)| Caveat::ValidityWindow { not_before, not_after }),
        4 => (NOW - 9..NOW, NOW..NOW + 9)
            .prop_map(|(not_before, not_after)| Caveat::ValidityWindow { not_before, not_after }),
        1 => (number(), mask()).prop_map(|(id, mask)| Caveat::Organization { id, mask }),
        1 => proptest::option::of(btree_map(number(), mask(), 0..4)).prop_map(Caveat::Apps),
        1 => texts().prop_map(Caveat::Volumes),
        1 => texts().prop_map(Caveat::StorageObjects),
        1 => proptest::option::of(vec(text(), 0..4)).prop_map(Caveat::Mutations),
        1 => number().prop_map(Caveat::ConfineUser),
        1 => number().prop_map(Caveat::IsUser),
        1 => text().prop_map(Caveat::ConfineGoogleHd),
        1 => number().prop_map(Caveat::MaxValidity),
        1 => Just(Caveat::IsMember),
        1 => number().prop_map(Caveat::FlyioUserId),
        1 => bytes().prop_map(|mut magnitude| {
            magnitude.insert(0, 1);
            Caveat::GoogleUserId(magnitude)
        }),
        1 => mask().prop_map(Caveat::Action),
        1 => proptest::option::of(vec((proptest::option::of(vec(text(), 0..3)), any::<bool>()), 0..3)).prop_map(
            |commands| {
                let entry = |(args, exact)| CommandArgs { args, exact };
                Caveat::Commands(commands.map(|list| list.into_iter().map(entry).collect()))
            }
        ),
        1 => any::<u32>().prop_map(Caveat::AllowedRoles),
        1 => (text(), text(), text())
            .prop_map(|(organization, app, instance)| Caveat::FlySrc { organization, app, instance }),
        1 => bytes().prop_map(Caveat::BindToParent),
        1 => (text(), proptest::option::of(bytes()), bytes()).prop_map(|(location, verifier_key, ticket)| {
            Caveat::ThirdParty(ThirdParty { location, verifier_key, ticket })
        }),
    ]
    .boxed()
}

/// A type inside or outside petsem's block, with a body that is often invalid for it.
fn unknown_or_invalid() -> impl Strategy<Value = Caveat> {
    let kind = prop_oneof![65_530_u64..65_800, Just(1), Just(17), any::<u64>()];
    let bodies: [&'static [u8]; 5] =
        [&[0x01], &[0x90], &[0x91, 0x90], &[0x91, 0x92, 0xa1, b'b', 0xa1, b'a'], &[0xcd, 0x00, 0x01]];
    let body = select(bodies.to_vec());
    (kind, body).prop_filter_map("typed", |(kind, body)| Caveat::from_wire(kind, body).ok())
}

/// Any caveat that a holder can append, nested ones too.
pub(crate) fn any_caveat() -> BoxedStrategy<Caveat> {
    let leaf = prop_oneof![9 => petsem(), 3 => fly(), 1 => unknown_or_invalid()];
    leaf.prop_recursive(3, 8, 3, |inner| {
        let mask = prop_oneof![1 => Just(0_u16), 3 => Just(0x3ff), 1 => Just(1), 1 => any::<u16>()];
        (vec(inner, 0..3), mask)
            .prop_map(|(ifs, otherwise)| Caveat::IfPresent(IfPresent { ifs: CaveatSet::new(ifs), otherwise }))
    })
    .boxed()
}

/// A request for any action, which names any of the resources, or none.
pub(crate) fn request() -> BoxedStrategy<Access<'static>> {
    let id = || proptest::option::weighted(0.9, select(IDS.as_slice()));
    let name = || proptest::option::weighted(0.7, select(NAMES.as_slice()));
    let peer = proptest::option::of(select(PEERS.as_slice()));
    let time = prop_oneof![4 => Just((NOW, 0)), 1 => (NOW - 9..NOW + 70, prop_oneof![Just(0), Just(1), Just(999_999_999)])];
    let action = prop_oneof![1 => Just(Action::ReadValue), 1 => Just(Action::Boot), 3 => select(Action::ALL.as_slice())];
    (action, time, (id(), id()), (name(), name(), name(), name()), peer)
        .prop_map(|(action, (seconds, nanos), (org, app), (secret, secret_key, machine, host), peer)| {
            Access {
                org,
                app,
                secret,
                secret_key,
                machine,
                host,
                peer: peer.map(|text| text.parse().unwrap()),
                ..Access::new(action, seconds, nanos)
            }
        })
        .boxed()
}
