//! Which file declares what.

use super::descriptor::{
    EnumDescriptor, FieldDescriptor, FileDescriptor, FileDescriptorSet, MessageDescriptor,
};
use crate::grpc::Code;
use bytes::Bytes;
use prost::Message as _;
use std::collections::{BTreeMap, BTreeSet};

/// Descriptors that cannot be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidDescriptors {
    /// Not an encoded `FileDescriptorSet`.
    #[error("not an encoded FileDescriptorSet: {0}")]
    Malformed(#[from] prost::DecodeError),
    /// Two files have one name and differ.
    #[error("two different files are called {0}")]
    Ambiguous(String),
}

/// Why there is no answer: code and message.
type Missing = (Code, String);

#[derive(Debug, Default)]
pub(super) struct Index {
    files: BTreeMap<String, File>,
    /// The file of each declared thing, by full name.
    symbols: BTreeMap<String, String>,
    services: BTreeSet<String>,
    messages: BTreeSet<String>,
    /// The file of each extension, by the message's full name and the extension's number.
    extensions: BTreeMap<String, BTreeMap<i32, String>>,
}

#[derive(Debug)]
struct File {
    encoded: Bytes,
    dependencies: Vec<String>,
}

impl Index {
    pub(super) fn new<'a>(sets: impl IntoIterator<Item = &'a [u8]>) -> Result<Self, InvalidDescriptors> {
        let mut index = Self::default();
        for set in sets {
            for encoded in FileDescriptorSet::decode(Bytes::copy_from_slice(set))?.file {
                index.add(encoded)?;
            }
        }
        Ok(index)
    }

    fn add(&mut self, encoded: Bytes) -> Result<(), InvalidDescriptors> {
        let file = FileDescriptor::decode(encoded.clone())?;
        if let Some(known) = self.files.get(&file.name) {
            return if known.encoded == encoded {
                Ok(())
            } else {
                Err(InvalidDescriptors::Ambiguous(file.name))
            };
        }
        let (name, package) = (&file.name, &file.package);
        file.message_type.iter().for_each(|message| self.add_message(name, package, message));
        file.enum_type.iter().for_each(|declared| self.add_enum(name, package, declared));
        file.extension.iter().for_each(|extension| self.add_extension(name, package, extension));
        for service in &file.service {
            let full = join(package, &service.name);
            service.method.iter().for_each(|method| self.add_symbol(name, join(&full, &method.name)));
            self.add_symbol(name, full.clone());
            self.services.insert(full);
        }
        self.files.insert(file.name, File { encoded, dependencies: file.dependency });
        Ok(())
    }

    /// prost ends the decoding of messages that are nested too deeply, so that this ends too.
    fn add_message(&mut self, file: &str, scope: &str, message: &MessageDescriptor) {
        let full = join(scope, &message.name);
        message.field.iter().for_each(|field| self.add_symbol(file, join(&full, &field.name)));
        message.oneof_decl.iter().for_each(|oneof| self.add_symbol(file, join(&full, &oneof.name)));
        message.nested_type.iter().for_each(|nested| self.add_message(file, &full, nested));
        message.enum_type.iter().for_each(|declared| self.add_enum(file, &full, declared));
        message.extension.iter().for_each(|extension| self.add_extension(file, &full, extension));
        self.add_symbol(file, full.clone());
        self.messages.insert(full);
    }

    /// The values of an enumeration are its siblings (C++'s rule).
    fn add_enum(&mut self, file: &str, scope: &str, declared: &EnumDescriptor) {
        declared.value.iter().for_each(|value| self.add_symbol(file, join(scope, &value.name)));
        self.add_symbol(file, join(scope, &declared.name));
    }

    fn add_extension(&mut self, file: &str, scope: &str, extension: &FieldDescriptor) {
        self.add_symbol(file, join(scope, &extension.name));
        let message = extension.extendee.trim_start_matches('.').to_owned();
        self.extensions.entry(message).or_default().insert(extension.number, file.to_owned());
    }

    fn add_symbol(&mut self, file: &str, full: String) {
        self.symbols.insert(full, file.to_owned());
    }

    pub(super) fn services(&self) -> impl Iterator<Item = &str> {
        self.services.iter().map(String::as_str)
    }

    /// A file, then all that it depends on, as far as we have them.
    pub(super) fn file(&self, name: &str) -> Result<Vec<Bytes>, Missing> {
        if !self.files.contains_key(name) {
            return Err(missing("file", name));
        }
        let (mut seen, mut queue, mut found) = (BTreeSet::new(), vec![name], Vec::new());
        while let Some(next) = queue.pop() {
            if let Some(file) = self.files.get(next)
                && seen.insert(next)
            {
                found.push(file.encoded.clone());
                queue.extend(file.dependencies.iter().map(String::as_str));
            }
        }
        Ok(found)
    }

    pub(super) fn symbol(&self, full: &str) -> Result<Vec<Bytes>, Missing> {
        let name = full.strip_prefix('.').unwrap_or(full);
        let file = self.symbols.get(name).ok_or_else(|| missing("symbol", full))?;
        self.file(file)
    }

    pub(super) fn extension(&self, message: &str, number: i32) -> Result<Vec<Bytes>, Missing> {
        let name = message.strip_prefix('.').unwrap_or(message);
        let file = self.extensions.get(name).and_then(|numbers| numbers.get(&number));
        let file = file.ok_or_else(|| missing("extension", &format!("{number} of {message}")))?;
        self.file(file)
    }

    pub(super) fn extension_numbers(&self, message: &str) -> Result<Vec<i32>, Missing> {
        let name = message.strip_prefix('.').unwrap_or(message);
        match self.extensions.get(name) {
            Some(numbers) => Ok(numbers.keys().copied().collect()),
            None if self.messages.contains(name) => Ok(Vec::new()),
            None => Err(missing("message", message)),
        }
    }
}

fn join(scope: &str, name: &str) -> String {
    if scope.is_empty() { name.to_owned() } else { format!("{scope}.{name}") }
}

/// An answer that repeats a hostile name at full length would be longer than its question.
const SHOWN: usize = 200;

fn missing(what: &str, name: &str) -> Missing {
    let shown: String = name.chars().take(SHOWN).collect();
    (Code::NotFound, format!("no {what} {shown}"))
}

#[cfg(test)]
mod tests {
    use super::super::descriptor::{Named, ServiceDescriptor};
    use super::super::{REFLECTION_DESCRIPTORS, REFLECTION_V1ALPHA_DESCRIPTORS};
    use super::*;
    use proptest::prelude::*;

    fn named(name: &str) -> Named {
        Named { name: name.to_owned() }
    }

    fn set(files: &[FileDescriptor]) -> Vec<u8> {
        let file = files.iter().map(|file| file.encode_to_vec().into()).collect();
        FileDescriptorSet { file }.encode_to_vec()
    }

    /// `base.proto`, and `more.proto` that extends it, without a package.
    fn example() -> Vec<FileDescriptor> {
        let extensible = MessageDescriptor { name: "Open".into(), ..Default::default() };
        let base = FileDescriptor {
            name: "base.proto".into(),
            package: "a.b".into(),
            message_type: vec![MessageDescriptor {
                name: "Outer".into(),
                field: vec![FieldDescriptor { name: "field".into(), ..Default::default() }],
                nested_type: vec![extensible],
                enum_type: vec![EnumDescriptor { name: "Kind".into(), value: vec![named("FIRST")] }],
                oneof_decl: vec![named("choice")],
                ..Default::default()
            }],
            ..Default::default()
        };
        let extension = |number| FieldDescriptor {
            name: format!("e{number}"),
            extendee: ".a.b.Outer.Open".into(),
            number,
        };
        let more = FileDescriptor {
            name: "more.proto".into(),
            dependency: vec!["base.proto".into(), "absent.proto".into(), "more.proto".into()],
            service: vec![ServiceDescriptor { name: "Serves".into(), method: vec![named("Do")] }],
            extension: vec![extension(200), extension(100)],
            ..Default::default()
        };
        vec![base, more]
    }

    #[test]
    fn everything_that_is_declared_is_found() {
        let files = example();
        let index = Index::new([&set(&files)[..], &set(&files[..1])]).unwrap();
        let [base, more] = [&files[0], &files[1]].map(|file| Bytes::from(file.encode_to_vec()));
        for symbol in [
            "a.b.Outer",
            "a.b.Outer.field",
            "a.b.Outer.Open",
            "a.b.Outer.Kind",
            "a.b.Outer.FIRST",
            ".a.b.Outer.choice",
        ] {
            assert_eq!(index.symbol(symbol), Ok(vec![base.clone()]), "{symbol}");
        }
        for symbol in ["Serves", "Serves.Do", "e100"] {
            assert_eq!(index.symbol(symbol), Ok(vec![more.clone(), base.clone()]), "{symbol}");
        }
        assert_eq!(index.services().collect::<Vec<_>>(), ["Serves"]);
        assert_eq!(index.extension("a.b.Outer.Open", 200), Ok(vec![more, base]));
        assert_eq!(index.extension_numbers("a.b.Outer.Open"), Ok(vec![100, 200]));
        assert_eq!(index.extension_numbers("a.b.Outer"), Ok(vec![]));
    }

    #[test]
    fn what_is_missing_is_named() {
        let index = Index::new([&set(&example())[..]]).unwrap();
        let not_found = |text: &str| (Code::NotFound, text.to_owned());
        assert_eq!(index.file("x.proto"), Err(not_found("no file x.proto")));
        assert_eq!(index.symbol("a.b"), Err(not_found("no symbol a.b")));
        assert_eq!(index.extension("a.b.Outer.Open", 1), Err(not_found("no extension 1 of a.b.Outer.Open")));
        assert_eq!(index.extension_numbers("a.b.None"), Err(not_found("no message a.b.None")));
        assert!(index.symbol(&"\u{e4}".repeat(100_000)).unwrap_err().1.len() < 500);
    }

    #[test]
    fn sets_that_cannot_be_served() {
        assert!(matches!(Index::new([&[0xff][..]]), Err(InvalidDescriptors::Malformed(_))));
        let mut other = example();
        other[0].package = "else".into();
        let twice = Index::new([&set(&example())[..], &set(&other)]);
        assert_eq!(twice.unwrap_err(), InvalidDescriptors::Ambiguous("base.proto".into()));
    }

    #[test]
    fn both_versions_are_known() {
        let index = Index::new([REFLECTION_DESCRIPTORS, REFLECTION_V1ALPHA_DESCRIPTORS]).unwrap();
        let services: Vec<_> = index.services().collect();
        assert_eq!(
            services,
            ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
        );
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_set_or_are_refused(bytes: Vec<u8>) {
            let _ = Index::new([&bytes[..]]);
        }
    }
}
