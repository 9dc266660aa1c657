//! Where a request goes, and whether it may go there without TLS.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hyper::Uri;

/// Longest URL, in bytes.
const LONGEST: usize = 2048;

/// Scheme, host and port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    /// In lower case: a name, or an address without brackets.
    pub(super) host: String,
    pub(super) port: u16,
    /// Which addresses it may have if it is spoken to without TLS.
    pub(super) plain: Option<PlainHttp>,
}

/// The addresses that may be spoken to without TLS: none that is on a network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum PlainHttp {
    /// This machine.
    Loopback,
    /// Where ECS and EKS give containers their credentials; link-local, answered by the host itself.
    Container,
    /// The instance metadata service; link-local, answered by the hypervisor.
    Metadata,
}

impl PlainHttp {
    pub(super) fn allows(self, address: IpAddr) -> bool {
        const ECS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 170, 2));
        const EKS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 170, 23));
        const EKS_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x23));
        const IMDS: IpAddr = IpAddr::V4(Ipv4Addr::new(169, 254, 169, 254));
        const IMDS_V6: IpAddr = IpAddr::V6(Ipv6Addr::new(0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254));
        address.is_loopback()
            || match self {
                Self::Loopback => false,
                Self::Container => [ECS, EKS, EKS_V6].contains(&address),
                Self::Metadata => [IMDS, IMDS_V6].contains(&address),
            }
    }
}

/// A text that is no URL that may be called.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotCallable;

impl Origin {
    /// A host that is called over TLS, at port 443.
    pub(super) fn https(host: String) -> Self {
        Self { host, port: 443, plain: None }
    }

    /// Splits a URL into its origin and its path with query. `http://` is for addresses that `plain` allows,
    /// and for `localhost`, whose address is looked at when it is connected to.
    pub(super) fn parse(text: &str, plain: PlainHttp) -> Result<(Self, String), NotCallable> {
        // `Uri` drops a fragment silently.
        if text.len() > LONGEST || text.contains('#') {
            return Err(NotCallable);
        }
        let uri: Uri = text.parse().map_err(|_| NotCallable)?;
        let authority = uri.authority().ok_or(NotCallable)?;
        let bracketed = authority.host();
        let host = bracketed.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase();
        let host_fits = !host.is_empty()
            && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:".contains(&byte));
        if !host_fits || authority.as_str().contains('@') {
            return Err(NotCallable);
        }
        let (plain, default_port) = match uri.scheme_str() {
            Some("https") => (None, 443),
            Some("http") => (Some(plain), 80),
            _ => return Err(NotCallable),
        };
        let port = match authority.port_u16() {
            Some(0) => return Err(NotCallable),
            Some(port) => port,
            // A colon without a number behind it is not a port.
            None if authority.as_str().len() != bracketed.len() => return Err(NotCallable),
            None => default_port,
        };
        if let Some(plain) = plain {
            let is_allowed = match host.parse() {
                Ok(address) => plain.allows(address),
                Err(_) => host == "localhost",
            };
            if !is_allowed {
                return Err(NotCallable);
            }
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        let slash = if target.starts_with('/') { "" } else { "/" };
        Ok((Self { host, port, plain }, format!("{slash}{target}")))
    }

    /// `HOST`, or `HOST:PORT` where the port is not the scheme's own.
    pub(super) fn authority(&self) -> String {
        let host = if self.host.contains(':') { format!("[{}]", self.host) } else { self.host.clone() };
        let own = if self.plain.is_some() { 80 } else { 443 };
        if self.port == own { host } else { format!("{host}:{}", self.port) }
    }

    /// As people write it.
    pub(super) fn text(&self) -> String {
        format!("{}://{}", if self.plain.is_some() { "http" } else { "https" }, self.authority())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str, plain: PlainHttp) -> Option<(String, String)> {
        Origin::parse(text, plain).ok().map(|(origin, target)| (origin.text(), target))
    }

    #[test]
    fn https_goes_anywhere_and_plain_http_to_the_listed_addresses_alone() {
        use PlainHttp::{Container, Loopback, Metadata};
        for (text, plain, expected) in [
            ("https://kms.example", Loopback, Some(("https://kms.example", "/"))),
            ("https://KMS.example:443/", Loopback, Some(("https://kms.example", "/"))),
            ("https://[fd00::1]:8443/a?b=c", Loopback, Some(("https://[fd00::1]:8443", "/a?b=c"))),
            ("http://127.0.0.1:5000", Loopback, Some(("http://127.0.0.1:5000", "/"))),
            ("http://localhost:5000/", Loopback, Some(("http://localhost:5000", "/"))),
            ("http://[::1]/", Loopback, Some(("http://[::1]", "/"))),
            ("http://kms.example/", Loopback, None),
            ("http://169.254.170.2/x", Loopback, None),
            ("http://10.0.0.1/", Loopback, None),
            ("http://169.254.170.2/x", Container, Some(("http://169.254.170.2", "/x"))),
            (
                "http://169.254.170.23/v1/credentials",
                Container,
                Some(("http://169.254.170.23", "/v1/credentials")),
            ),
            (
                "http://[fd00:ec2::23]/v1/credentials",
                Container,
                Some(("http://[fd00:ec2::23]", "/v1/credentials")),
            ),
            ("http://169.254.169.254/", Container, None),
            ("http://169.254.169.254/", Metadata, Some(("http://169.254.169.254", "/"))),
            ("http://[fd00:ec2::254]/", Metadata, Some(("http://[fd00:ec2::254]", "/"))),
            ("http://169.254.170.2/", Metadata, None),
            ("https://user:secret@kms.example/", Loopback, None),
            ("https://kms.example/#a", Loopback, None),
            ("https://kms.example:/", Loopback, None),
            ("https://kms.example:0/", Loopback, None),
            ("ftp://kms.example/", Loopback, None),
            ("kms.example", Loopback, None),
            ("", Loopback, None),
        ] {
            let expected = expected.map(|(origin, target)| (origin.to_owned(), target.to_owned()));
            assert_eq!((text, parsed(text, plain)), (text, expected));
        }
        assert_eq!(parsed(&format!("https://kms.example/{}", "a".repeat(LONGEST)), Loopback), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn any_text_is_an_origin_that_reads_the_same_again_or_none(text in "\\PC{0,60}") {
            for text in [text.clone(), format!("https://{text}"), format!("http://{text}")] {
                if let Ok((origin, _)) = Origin::parse(&text, PlainHttp::Container) {
                    let again = Origin::parse(&origin.text(), PlainHttp::Container);
                    prop_assert_eq!(again, Ok((origin, "/".to_owned())));
                }
            }
        }
    }
}
