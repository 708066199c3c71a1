//! A persistent ordered map: a treap whose nodes are shared between versions.
//!
//! Cloning is one reference count; a write copies only the path to the changed node, and only the nodes that another version still holds.
//! Priorities are keyed hashes of the key (random per process), so that chosen keys cannot unbalance the tree; they never show outside.

use std::cmp::Ordering;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, LazyLock};

use bytes::Bytes;

static PRIORITY: LazyLock<RandomState> = LazyLock::new(RandomState::new);

type Link<V> = Option<Arc<Node<V>>>;

#[derive(Clone, Debug)]
struct Node<V> {
    key: Bytes,
    value: V,
    priority: u64,
    left: Link<V>,
    right: Link<V>,
}

#[derive(Clone, Debug)]
pub(crate) struct Tree<V> {
    root: Link<V>,
}

impl<V> Default for Tree<V> {
    fn default() -> Self {
        Self { root: None }
    }
}

/// Which end a walk starts from.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Direction {
    Forward,
    Reverse,
}

/// Half-open bounds: `start <= key < end`.
struct Bounds<'a> {
    start: &'a [u8],
    end: Option<&'a [u8]>,
}

impl<V: Clone> Tree<V> {
    pub(crate) fn get(&self, key: &[u8]) -> Option<&V> {
        let mut link = self.root.as_ref();
        while let Some(node) = link {
            match key.cmp(node.key.as_ref()) {
                Ordering::Less => link = node.left.as_ref(),
                Ordering::Greater => link = node.right.as_ref(),
                Ordering::Equal => return Some(&node.value),
            }
        }
        None
    }

    pub(crate) fn insert(&mut self, key: Bytes, value: V) {
        let priority = PRIORITY.hash_one(key.as_ref());
        insert(&mut self.root, Node { key, value, priority, left: None, right: None });
    }

    pub(crate) fn remove(&mut self, key: &[u8]) {
        // An absent key must not copy the path to where it would be.
        if self.get(key).is_some() {
            remove(&mut self.root, key);
        }
    }

    /// Visits the pairs of the range in order until `visit` answers `false`.
    pub(crate) fn walk(&self, start: &[u8], end: Option<&[u8]>, direction: Direction, visit: &mut dyn FnMut(&Bytes, &V) -> bool) {
        walk(self.root.as_ref(), &Bounds { start, end }, direction, visit);
    }
}

fn insert<V: Clone>(link: &mut Link<V>, new: Node<V>) {
    let Some(shared) = link else {
        *link = Some(Arc::new(new));
        return;
    };
    let node = Arc::make_mut(shared);
    match new.key.cmp(&node.key) {
        Ordering::Equal => node.value = new.value,
        Ordering::Less => {
            insert(&mut node.left, new);
            if node.left.as_ref().is_some_and(|left| left.priority > node.priority) {
                rotate(link, Direction::Forward);
            }
        }
        Ordering::Greater => {
            insert(&mut node.right, new);
            if node.right.as_ref().is_some_and(|right| right.priority > node.priority) {
                rotate(link, Direction::Reverse);
            }
        }
    }
}

/// Lifts a child above its parent: the left child for `Forward`, the right one for `Reverse`.
fn rotate<V: Clone>(link: &mut Link<V>, child: Direction) {
    let Some(mut parent) = link.take() else {
        return;
    };
    let node = Arc::make_mut(&mut parent);
    let lifted = if child == Direction::Forward { node.left.take() } else { node.right.take() };
    let Some(mut lifted) = lifted else {
        *link = Some(parent);
        return;
    };
    let top = Arc::make_mut(&mut lifted);
    if child == Direction::Forward {
        node.left = top.right.take();
        top.right = Some(parent);
    } else {
        node.right = top.left.take();
        top.left = Some(parent);
    }
    *link = Some(lifted);
}

fn remove<V: Clone>(link: &mut Link<V>, key: &[u8]) {
    let Some(shared) = link else { return };
    let order = key.cmp(shared.key.as_ref());
    let node = Arc::make_mut(shared);
    match order {
        Ordering::Less => remove(&mut node.left, key),
        Ordering::Greater => remove(&mut node.right, key),
        Ordering::Equal => *link = merge(node.left.take(), node.right.take()),
    }
}

/// Joins two trees of which every key of `left` is before every key of `right`.
fn merge<V: Clone>(left: Link<V>, right: Link<V>) -> Link<V> {
    let (Some(mut left), Some(mut right)) = (left.clone(), right.clone()) else {
        return left.or(right);
    };
    if left.priority > right.priority {
        let node = Arc::make_mut(&mut left);
        node.right = merge(node.right.take(), Some(right));
        Some(left)
    } else {
        let node = Arc::make_mut(&mut right);
        node.left = merge(Some(left), node.left.take());
        Some(right)
    }
}

fn walk<V>(link: Option<&Arc<Node<V>>>, bounds: &Bounds<'_>, direction: Direction, visit: &mut dyn FnMut(&Bytes, &V) -> bool) -> bool {
    let Some(node) = link else { return true };
    let key = node.key.as_ref();
    let after_start = key >= bounds.start;
    let before_end = bounds.end.is_none_or(|end| key < end);
    let (first, first_open, second, second_open) = match direction {
        Direction::Forward => (&node.left, after_start, &node.right, before_end),
        Direction::Reverse => (&node.right, before_end, &node.left, after_start),
    };
    if first_open && !walk(first.as_ref(), bounds, direction, visit) {
        return false;
    }
    if after_start && before_end && !visit(&node.key, &node.value) {
        return false;
    }
    !second_open || walk(second.as_ref(), bounds, direction, visit)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn pairs(tree: &Tree<u32>, start: &[u8], end: Option<&[u8]>, direction: Direction) -> Vec<(Vec<u8>, u32)> {
        let mut out = Vec::new();
        tree.walk(start, end, direction, &mut |key, value| {
            out.push((key.to_vec(), *value));
            true
        });
        out
    }

    proptest! {
        #[test]
        fn behaves_like_a_btree_map(steps in proptest::collection::vec((any::<bool>(), proptest::collection::vec(0u8..4, 0..4), any::<u32>()), 0..80), start in proptest::collection::vec(0u8..4, 0..3), end in proptest::option::of(proptest::collection::vec(0u8..4, 0..3))) {
            let mut tree = Tree::default();
            let mut model = BTreeMap::new();
            let mut versions = Vec::new();
            for (put, key, value) in steps {
                versions.push((tree.clone(), model.clone()));
                if put {
                    tree.insert(Bytes::from(key.clone()), value);
                    model.insert(key, value);
                } else {
                    tree.remove(&key);
                    model.remove(&key);
                }
            }
            versions.push((tree, model));
            // Old versions are untouched by later writes.
            for (tree, model) in versions {
                let expected: Vec<_> = model.into_iter().filter(|(key, _)| *key >= start && end.as_ref().is_none_or(|end| key < end)).collect();
                let mut reversed = expected.clone();
                reversed.reverse();
                prop_assert_eq!(pairs(&tree, &start, end.as_deref(), Direction::Forward), expected);
                prop_assert_eq!(pairs(&tree, &start, end.as_deref(), Direction::Reverse), reversed);
            }
        }
    }

    #[test]
    fn ascending_keys_stay_shallow() {
        fn depth<V>(link: Option<&Arc<Node<V>>>) -> usize {
            link.map_or(0, |node| 1 + depth(node.left.as_ref()).max(depth(node.right.as_ref())))
        }
        let mut tree = Tree::default();
        for key in 0u64..20_000 {
            tree.insert(Bytes::copy_from_slice(&key.to_be_bytes()), ());
        }
        assert!(depth(tree.root.as_ref()) < 80, "depth {}", depth(tree.root.as_ref()));
    }
}
