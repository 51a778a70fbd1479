//! Names: the tree of directories, as it is seen and as it is durable.

use super::crash::Survival;
use super::errno::{errno, is_a_directory, missing, not_a_directory};
use super::file::FileState;
use crate::chance::Chance;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::io;
use std::path::{Component, Path, PathBuf};

/// The longest name of Linux's file systems, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// A file or directory, whatever its name is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Inode(u64);

#[derive(Debug, Clone)]
enum Node {
    File(FileState),
    Directory(Directory),
}

#[derive(Debug, Clone, Default)]
struct Directory {
    live: BTreeMap<OsString, Inode>,
    durable: BTreeMap<OsString, Inode>,
}

/// What one verb changed: all of it survives or nothing.
#[derive(Debug, Clone)]
struct NameChange {
    edits: Vec<Edit>,
}

#[derive(Debug, Clone)]
struct Edit {
    directory: Inode,
    name: OsString,
    entry: Option<Inode>,
}

/// All files and directories.
#[derive(Debug, Clone)]
pub(super) struct Namespace {
    nodes: BTreeMap<Inode, Node>,
    /// Changes of names that are seen and not durable, in order.
    pending: Vec<NameChange>,
    next: u64,
}

/// A path's last step.
pub(super) enum Found {
    /// A name in a directory, and what it stands for.
    Name { directory: Inode, name: OsString, entry: Option<Inode> },
    /// A path that ends in no name: the root, `.` or `..`.
    Nameless(Inode),
}

const ROOT: Inode = Inode(0);

impl Default for Namespace {
    fn default() -> Self {
        let root = Node::Directory(Directory::default());
        Self { nodes: BTreeMap::from([(ROOT, root)]), pending: Vec::new(), next: 1 }
    }
}

impl Namespace {
    /// Finds what a path means. Paths begin at the root, also those without a leading slash.
    pub(super) fn find(&self, path: &Path) -> io::Result<Found> {
        if path.as_os_str().is_empty() {
            return Err(missing());
        }
        let mut steps = path.components().peekable();
        let mut ancestors = Vec::new();
        let mut current = ROOT;
        while let Some(step) = steps.next() {
            let directory = self.directory(current)?;
            match step {
                Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
                Component::ParentDir => current = ancestors.pop().unwrap_or(ROOT),
                Component::Normal(name) => {
                    if name.len() > MAX_NAME_BYTES {
                        return Err(errno(libc::ENAMETOOLONG));
                    }
                    let entry = directory.live.get(name).copied();
                    if steps.peek().is_none() {
                        return Ok(Found::Name { directory: current, name: name.to_owned(), entry });
                    }
                    ancestors.push(current);
                    current = entry.ok_or_else(missing)?;
                }
            }
        }
        Ok(Found::Nameless(current))
    }

    /// What a path stands for.
    pub(super) fn resolve(&self, path: &Path) -> io::Result<Inode> {
        match self.find(path)? {
            Found::Name { entry, .. } => entry.ok_or_else(missing),
            Found::Nameless(inode) => Ok(inode),
        }
    }

    pub(super) fn is_directory(&self, inode: Inode) -> bool {
        matches!(self.nodes.get(&inode), Some(Node::Directory(_)))
    }

    pub(super) fn file(&self, inode: Inode) -> io::Result<&FileState> {
        match self.nodes.get(&inode) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory(_)) => Err(is_a_directory()),
            None => Err(missing()),
        }
    }

    pub(super) fn file_mut(&mut self, inode: Inode) -> io::Result<&mut FileState> {
        match self.nodes.get_mut(&inode) {
            Some(Node::File(file)) => Ok(file),
            Some(Node::Directory(_)) => Err(is_a_directory()),
            None => Err(missing()),
        }
    }

    /// All files, also those that are not seen any more but may come back.
    pub(super) fn files(&self) -> impl Iterator<Item = &FileState> {
        self.nodes.values().filter_map(|node| match node {
            Node::File(file) => Some(file),
            Node::Directory(_) => None,
        })
    }

    /// All files, to be changed.
    pub(super) fn files_mut(&mut self) -> impl Iterator<Item = &mut FileState> {
        self.nodes.values_mut().filter_map(|node| match node {
            Node::File(file) => Some(file),
            Node::Directory(_) => None,
        })
    }

    fn directory(&self, inode: Inode) -> io::Result<&Directory> {
        match self.nodes.get(&inode) {
            Some(Node::Directory(directory)) => Ok(directory),
            Some(Node::File(_)) => Err(not_a_directory()),
            None => Err(missing()),
        }
    }

    fn create(&mut self, directory: Inode, name: &OsStr, node: Node) -> Inode {
        let inode = Inode(self.next);
        self.next += 1;
        self.nodes.insert(inode, node);
        self.change(vec![Edit { directory, name: name.to_owned(), entry: Some(inode) }]);
        inode
    }

    /// Creates an empty file under a name that is free.
    pub(super) fn create_file(&mut self, directory: Inode, name: &OsStr) -> Inode {
        self.create(directory, name, Node::File(FileState::default()))
    }

    /// As `mkdir -p`.
    pub(super) fn create_directories(&mut self, path: &Path) -> io::Result<()> {
        let mut ancestors = Vec::new();
        let mut current = ROOT;
        for step in path.components() {
            let directory = self.directory(current)?;
            match step {
                Component::Prefix(_) | Component::RootDir | Component::CurDir => {}
                Component::ParentDir => current = ancestors.pop().unwrap_or(ROOT),
                Component::Normal(name) if name.len() > MAX_NAME_BYTES => {
                    return Err(errno(libc::ENAMETOOLONG));
                }
                Component::Normal(name) => {
                    ancestors.push(current);
                    current = match directory.live.get(name) {
                        Some(inode) => *inode,
                        None => self.create(current, name, Node::Directory(Directory::default())),
                    };
                }
            }
        }
        if self.is_directory(current) { Ok(()) } else { Err(errno(libc::EEXIST)) }
    }

    /// The names in a directory, sorted.
    pub(super) fn list(&self, path: &Path) -> io::Result<Vec<PathBuf>> {
        let directory = self.directory(self.resolve(path)?)?;
        Ok(directory.live.keys().map(|name| path.join(name)).collect())
    }

    /// As `unlink(2)`.
    pub(super) fn remove_file(&mut self, path: &Path) -> io::Result<()> {
        let Found::Name { directory, name, entry } = self.find(path)? else {
            return Err(is_a_directory());
        };
        if self.is_directory(entry.ok_or_else(missing)?) {
            return Err(is_a_directory());
        }
        self.change(vec![Edit { directory, name, entry: None }]);
        Ok(())
    }

    /// As `rename(2)`.
    pub(super) fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let from = self.find(from)?;
        let to = self.find(to)?;
        let (
            Found::Name { directory: from_directory, name: from_name, entry: source },
            Found::Name { directory: to_directory, name: to_name, entry: target },
        ) = (from, to)
        else {
            return Err(errno(libc::EBUSY));
        };
        let source = source.ok_or_else(missing)?;
        if self.is_within(to_directory, source) {
            return Err(errno(libc::EINVAL));
        }
        if let Some(target) = target {
            if target == source {
                return Ok(());
            }
            if self.is_within(from_directory, target) {
                return Err(errno(libc::ENOTEMPTY));
            }
            match (self.is_directory(source), self.directory(target)) {
                (true, Err(_)) => return Err(not_a_directory()),
                (false, Ok(_)) => return Err(is_a_directory()),
                (true, Ok(target)) if !target.live.is_empty() => return Err(errno(libc::ENOTEMPTY)),
                _ => {}
            }
        }
        self.change(vec![
            Edit { directory: from_directory, name: from_name, entry: None },
            Edit { directory: to_directory, name: to_name, entry: Some(source) },
        ]);
        Ok(())
    }

    /// Whether `inode` is `directory` or anywhere inside it.
    fn is_within(&self, inode: Inode, directory: Inode) -> bool {
        inode == directory
            || self
                .directory(directory)
                .is_ok_and(|inside| inside.live.values().any(|entry| self.is_within(inode, *entry)))
    }

    /// The present path of a file or directory; `None`: it was removed.
    pub(super) fn path_of(&self, inode: Inode) -> Option<PathBuf> {
        self.path_below(ROOT, Path::new("/"), inode)
    }

    fn path_below(&self, directory: Inode, path: &Path, wanted: Inode) -> Option<PathBuf> {
        if directory == wanted {
            return Some(path.to_owned());
        }
        let entries = &self.directory(directory).ok()?.live;
        entries.iter().find_map(|(name, entry)| self.path_below(*entry, &path.join(name), wanted))
    }

    fn change(&mut self, edits: Vec<Edit>) {
        for edit in &edits {
            if let Some(Node::Directory(directory)) = self.nodes.get_mut(&edit.directory) {
                edit.apply(&mut directory.live);
            }
        }
        self.pending.push(NameChange { edits });
    }

    /// Makes the changes of a directory's names durable, and of others only what these depend on: a rename between two
    /// directories never comes apart.
    pub(super) fn sync_directory(&mut self, directory: Inode) {
        let mut directories = BTreeSet::from([directory]);
        let mut keeps = vec![false; self.pending.len()];
        for (change, keeps) in self.pending.iter().zip(&mut keeps).rev() {
            *keeps = change.edits.iter().any(|edit| directories.contains(&edit.directory));
            if *keeps {
                directories.extend(change.edits.iter().map(|edit| edit.directory));
            }
        }
        let pending = std::mem::take(&mut self.pending);
        for (change, keeps) in pending.into_iter().zip(keeps) {
            if keeps {
                self.make_durable(change);
            } else {
                self.pending.push(change);
            }
        }
    }

    fn make_durable(&mut self, change: NameChange) {
        for edit in change.edits {
            if let Some(Node::Directory(directory)) = self.nodes.get_mut(&edit.directory) {
                edit.apply(&mut directory.durable);
            }
        }
    }

    /// The machine stops. Of each directory's changes that were not synced a prefix survives. Returns how many changes
    /// survived and how many did not.
    pub(super) fn crash(&mut self, survival: Survival, chance: &mut Chance) -> (u64, u64) {
        let mut left = BTreeMap::<Inode, u64>::new();
        for change in &self.pending {
            change.directories().into_iter().for_each(|directory| *left.entry(directory).or_default() += 1);
        }
        left.values_mut().for_each(|left| *left = survival.prefix(*left, chance));
        let (mut kept, mut lost) = (0, 0);
        for change in std::mem::take(&mut self.pending) {
            let directories = change.directories();
            let keeps = directories.iter().all(|directory| left.get(directory).is_some_and(|left| *left > 0));
            for directory in directories {
                if let Some(left) = left.get_mut(&directory) {
                    *left = if keeps { left.saturating_sub(1) } else { 0 };
                }
            }
            if keeps {
                kept += 1;
                self.make_durable(change);
            } else {
                lost += 1;
            }
        }
        for node in self.nodes.values_mut() {
            if let Node::Directory(directory) = node {
                directory.live = directory.durable.clone();
            }
        }
        (kept, lost)
    }

    /// Forgets what no name and no handle leads to any more, now or after a crash.
    pub(super) fn collect(&mut self, open: impl Iterator<Item = Inode>) {
        let pending = self.pending.iter().flat_map(|change| &change.edits).filter_map(|edit| edit.entry);
        let mut reached = BTreeSet::new();
        let mut ahead: Vec<_> = open.chain(pending).chain([ROOT]).collect();
        while let Some(inode) = ahead.pop() {
            if reached.insert(inode)
                && let Ok(directory) = self.directory(inode)
            {
                ahead.extend(directory.live.values().chain(directory.durable.values()));
            }
        }
        self.nodes.retain(|inode, _| reached.contains(inode));
    }

    /// Everything a crash would certainly leave under a path, for tests.
    pub(super) fn resolve_durable(&self, path: &Path) -> Option<Inode> {
        let mut current = ROOT;
        for step in path.components() {
            if let Component::Normal(name) = step {
                current = *self.directory(current).ok()?.durable.get(name)?;
            }
        }
        Some(current)
    }

    /// How many changes of names wait for a sync.
    pub(super) const fn pending(&self) -> usize {
        self.pending.len()
    }
}

impl NameChange {
    fn directories(&self) -> BTreeSet<Inode> {
        self.edits.iter().map(|edit| edit.directory).collect()
    }
}

impl Edit {
    fn apply(&self, entries: &mut BTreeMap<OsString, Inode>) {
        match self.entry {
            Some(inode) => entries.insert(self.name.clone(), inode),
            None => entries.remove(&self.name),
        };
    }
}
