//! A table whose keys know when what they named is gone.

use std::fmt;
use std::marker::PhantomData;

/// Entries a page. A page is allocated whole and never moved: a table of a million entries grows
/// without copying the ones it has.
const PAGE_ENTRIES: usize = 512;
const NO_FREE: u32 = u32::MAX;

/// Names an entry of a [`Table`]: its place, and which of the entries that were there.
pub struct Key<T> {
    /// The place.
    pub index: u32,
    /// Which entry of that place.
    pub generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Key<T> {
    /// The key of these parts, as they were read off another key.
    pub const fn from_parts(index: u32, generation: u32) -> Self {
        Key {
            index,
            generation,
            of: PhantomData,
        }
    }
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index && self.generation == other.generation
    }
}

impl<T> Eq for Key<T> {}

impl<T> std::hash::Hash for Key<T> {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.index.hash(state);
        self.generation.hash(state);
    }
}

impl<T> fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.index, self.generation)
    }
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    entry: Entry<T>,
}

#[derive(Debug)]
enum Entry<T> {
    Used(T),
    Free { next: u32 },
}

/// Entries in stable places, found by [`Key`] in constant time.
#[derive(Debug)]
pub struct Table<T> {
    pages: Vec<Vec<Slot<T>>>,
    first_free: u32,
    len: usize,
}

impl<T> Default for Table<T> {
    fn default() -> Self {
        Table {
            pages: Vec::new(),
            first_free: NO_FREE,
            len: 0,
        }
    }
}

impl<T> Table<T> {
    /// Entries in the table.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    fn slot(&self, index: u32) -> Option<&Slot<T>> {
        self.pages
            .get(index as usize / PAGE_ENTRIES)?
            .get(index as usize % PAGE_ENTRIES)
    }

    fn slot_mut(&mut self, index: u32) -> Option<&mut Slot<T>> {
        self.pages
            .get_mut(index as usize / PAGE_ENTRIES)?
            .get_mut(index as usize % PAGE_ENTRIES)
    }

    /// Puts in an entry and returns its key.
    pub fn insert(&mut self, value: T) -> Key<T> {
        self.len += 1;
        if self.first_free != NO_FREE {
            let index = self.first_free;
            if let Some(slot) = self.slot_mut(index)
                && let Entry::Free { next } = slot.entry
            {
                slot.entry = Entry::Used(value);
                let generation = slot.generation;
                self.first_free = next;
                return Key::from_parts(index, generation);
            }
        }
        if self
            .pages
            .last()
            .is_none_or(|page| page.len() == PAGE_ENTRIES)
        {
            self.pages.push(Vec::with_capacity(PAGE_ENTRIES));
        }
        let page_index = self.pages.len() - 1;
        let page = &mut self.pages[page_index];
        page.push(Slot {
            generation: 0,
            entry: Entry::Used(value),
        });
        let index = page_index * PAGE_ENTRIES + page.len() - 1;
        Key::from_parts(index as u32, 0)
    }

    /// Takes an entry out; its key and all copies of it are void from now on.
    pub fn remove(&mut self, key: Key<T>) -> Option<T> {
        let next = self.first_free;
        let slot = self.slot_mut(key.index)?;
        if slot.generation != key.generation || matches!(slot.entry, Entry::Free { .. }) {
            return None;
        }
        slot.generation = slot.generation.wrapping_add(1);
        let entry = std::mem::replace(&mut slot.entry, Entry::Free { next });
        self.first_free = key.index;
        self.len -= 1;
        match entry {
            Entry::Used(value) => Some(value),
            Entry::Free { .. } => None,
        }
    }

    /// The entry that the key names, if it is still there.
    pub fn get(&self, key: Key<T>) -> Option<&T> {
        match self.slot(key.index) {
            Some(Slot {
                generation,
                entry: Entry::Used(value),
            }) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The entry that the key names, if it is still there.
    pub fn get_mut(&mut self, key: Key<T>) -> Option<&mut T> {
        match self.slot_mut(key.index) {
            Some(Slot {
                generation,
                entry: Entry::Used(value),
            }) if *generation == key.generation => Some(value),
            _ => None,
        }
    }

    /// The entry in this place, whichever it is, with its key.
    pub fn at(&self, index: u32) -> Option<(Key<T>, &T)> {
        match self.slot(index) {
            Some(Slot {
                generation,
                entry: Entry::Used(value),
            }) => Some((Key::from_parts(index, *generation), value)),
            _ => None,
        }
    }

    /// The entry in this place, whichever it is, with its key.
    pub fn at_mut(&mut self, index: u32) -> Option<(Key<T>, &mut T)> {
        match self.slot_mut(index) {
            Some(Slot {
                generation,
                entry: Entry::Used(value),
            }) => Some((Key::from_parts(index, *generation), value)),
            _ => None,
        }
    }

    /// One past the last place that was ever used.
    pub fn end(&self) -> u32 {
        let full = self.pages.len().saturating_sub(1) * PAGE_ENTRIES;
        (full + self.pages.last().map_or(0, Vec::len)) as u32
    }

    /// All entries with their keys, in order of place.
    pub fn iter(&self) -> impl Iterator<Item = (Key<T>, &T)> {
        let places = self.pages.iter().flatten().enumerate();
        places.filter_map(|(index, slot)| match &slot.entry {
            Entry::Used(value) => Some((Key::from_parts(index as u32, slot.generation), value)),
            Entry::Free { .. } => None,
        })
    }
}
