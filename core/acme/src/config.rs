//! What is ordered, and of whom.

use crate::error::Error;
use crate::limits::{MAX_CONTACTS, MAX_NAMES, MAX_URL};
use crate::url::Url;

/// What is ordered, and of whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OrderConfig {
    /// The server's directory (RFC 8555, 7.1.1), an `https://` address.
    pub directory: String,
    /// The DNS names of the certificate, 1 to [`MAX_NAMES`]. No wildcards: TLS-ALPN-01 cannot prove them.
    pub names: Vec<String>,
    /// Where the server may write to, such as `mailto:admin@example.org`, for a new account.
    pub contact: Vec<String>,
    /// The operator agrees to the server's terms of service.
    pub terms_agreed: bool,
    /// The request for the certificate (PKCS #10) in DER, for exactly these names.
    pub request: Vec<u8>,
}

/// As checked: names in lower case.
pub(crate) struct Checked {
    pub(crate) directory: Url,
    pub(crate) names: Vec<String>,
}

impl OrderConfig {
    /// Whether an order can be made of it: all but the request for the certificate is checked.
    ///
    /// # Errors
    /// [`Error::Directory`], [`Error::Names`], [`Error::Name`], [`Error::Contact`].
    pub fn validate(&self) -> Result<(), Error> {
        self.check().map(|_| ())
    }

    pub(crate) fn check(&self) -> Result<Checked, Error> {
        let directory =
            Url::parse(&self.directory).ok_or_else(|| Error::Directory(self.directory.clone()))?;
        if self.names.is_empty() || self.names.len() > MAX_NAMES {
            return Err(Error::Names(self.names.len()));
        }
        let mut names: Vec<String> = Vec::new();
        for name in &self.names {
            let name = name.to_ascii_lowercase();
            if !is_host_name(&name) || names.contains(&name) {
                return Err(Error::Name(name));
            }
            names.push(name);
        }
        let is_contact = |text: &String| {
            text.len() <= MAX_URL
                && text.split_once(':').is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty())
        };
        if let Some(wrong) = self.contact.iter().find(|text| !is_contact(text)) {
            return Err(Error::Contact(wrong.clone()));
        }
        if self.contact.len() > MAX_CONTACTS {
            return Err(Error::Contacts(self.contact.len()));
        }
        Ok(Checked { directory, names })
    }
}

/// A host's name (RFC 1123, 2.1) in lower case, with a dot in it or not, and no address.
fn is_host_name(name: &str) -> bool {
    let is_label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let last = name.rsplit('.').next().unwrap_or_default();
    name.len() <= 253 && name.split('.').all(is_label) && !last.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(names: &[&str]) -> OrderConfig {
        OrderConfig {
            directory: "https://ca.test/directory".into(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            contact: Vec::new(),
            terms_agreed: true,
            request: Vec::new(),
        }
    }

    #[test]
    fn names_are_host_names_and_each_is_given_once() {
        let checked = config(&["Example.ORG", "localhost", "xn--bcher-kva.example"]).check().unwrap();
        assert_eq!(checked.names, ["example.org", "localhost", "xn--bcher-kva.example"]);
        for wrong in
            ["*.example.org", "127.0.0.1", "::1", "", "a..b", "-a.test", "a_b.test", "b\u{fc}cher.test"]
        {
            assert_eq!(config(&[wrong]).validate(), Err(Error::Name(wrong.into())));
        }
        assert_eq!(config(&["a.test", "A.test"]).validate(), Err(Error::Name("a.test".into())));
        let long = format!("{}.test", "a".repeat(64));
        assert!(config(&[&long[1..]]).validate().is_ok() && config(&[&long]).validate().is_err());
    }

    #[test]
    fn the_number_of_names_has_a_limit() {
        let names: Vec<String> = (0..=MAX_NAMES).map(|n| format!("n{n}.test")).collect();
        let mut config = config(&[]);
        assert_eq!(config.validate(), Err(Error::Names(0)));
        config.names = names[..MAX_NAMES].to_vec();
        assert!(config.validate().is_ok());
        config.names = names;
        assert_eq!(config.validate(), Err(Error::Names(MAX_NAMES + 1)));
    }

    #[test]
    fn contacts_are_addresses_and_few() {
        let mut config = config(&["a.test"]);
        config.contact = vec!["mailto:a@b.test".into(); MAX_CONTACTS];
        assert!(config.validate().is_ok());
        config.contact.push("mailto:a@b.test".into());
        assert_eq!(config.validate(), Err(Error::Contacts(MAX_CONTACTS + 1)));
        config.contact = vec!["a@b.test".into()];
        assert_eq!(config.validate(), Err(Error::Contact("a@b.test".into())));
    }
}
