//! Finds an item by name without a second copy of the names.

/// Positions of items in the order of their names.
///
/// A sorted list instead of a hash table: no copy of a name, nothing that crafted names could make collide, and
/// duplicates show up as neighbours.
#[derive(Debug, Clone, Default)]
pub(super) struct NameIndex(Vec<u32>);

/// Two items have the same name; the position of the later one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Duplicate(pub(super) usize);

impl NameIndex {
    /// Indexes at most `u32::MAX` items.
    pub(super) fn new<T>(items: &[T], name: impl Fn(&T) -> &str) -> Result<Self, Duplicate> {
        let mut order: Vec<u32> = (0..items.len() as u32).collect();
        // The sort is stable, so of two equal names the later item comes second.
        order.sort_by(|&a, &b| name(&items[a as usize]).cmp(name(&items[b as usize])));
        for pair in order.windows(2) {
            if name(&items[pair[0] as usize]) == name(&items[pair[1] as usize]) {
                return Err(Duplicate(pair[1] as usize));
            }
        }
        Ok(Self(order))
    }

    /// The item called `wanted`; `items` and `name` are those that the index was made from.
    pub(super) fn find<'a, T>(&self, items: &'a [T], name: impl Fn(&T) -> &str, wanted: &str) -> Option<&'a T> {
        let at = self.0.binary_search_by(|&i| items.get(i as usize).map_or("", &name).cmp(wanted)).ok()?;
        items.get(*self.0.get(at)? as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_are_found_by_name_only() {
        let items = ["b", "a", "c"];
        let index = NameIndex::new(&items, |s| s).unwrap();
        for item in &items {
            assert_eq!(index.find(&items, |s| s, item), Some(item));
        }
        assert_eq!(index.find(&items, |s| s, "d"), None);
        assert_eq!(NameIndex::default().find(&items, |s| s, "a"), None);
    }

    #[test]
    fn the_later_of_two_equal_names_is_reported() {
        assert_eq!(NameIndex::new(&["x", "a", "x"], |s| s).unwrap_err(), Duplicate(2));
    }
}
