//! A region is a place: each has its own store, its own object backend and its own recorder.

use std::sync::Arc;

use objects::ObjectVault;
use store::Store;
use trail::Recorder;

use crate::error::ApiError;
use crate::record_cache::RecordCache;

/// One configured region.
pub struct RegionState {
    /// `eu-central-1`.
    pub name: String,
    pub store: Arc<dyn Store>,
    pub vault: Arc<ObjectVault>,
    pub recorder: Recorder,
}

/// All configured regions. The first is the partition's home: global services live there.
pub struct Regions {
    list: Vec<RegionState>,
    /// One per region, in the regions' order.
    opened: Vec<RecordCache>,
}

impl Regions {
    /// # Errors
    /// When no region is configured.
    pub fn new(list: Vec<RegionState>) -> Result<Self, ApiError> {
        if list.is_empty() {
            return Err(ApiError::internal(&"no region is configured"));
        }
        let opened = list.iter().map(|_| RecordCache::default()).collect();
        Ok(Self { list, opened })
    }

    pub fn position(&self, name: &str) -> Option<usize> {
        self.list.iter().position(|region| region.name == name)
    }

    /// A region by position. Positions come from [`Regions::position`].
    pub fn at(&self, position: usize) -> Result<&RegionState, ApiError> {
        self.list.get(position).ok_or_else(|| ApiError::internal(&"a region position is out of range"))
    }

    /// Records of a region that were opened before.
    pub(crate) fn opened(&self, position: usize) -> Option<&RecordCache> {
        self.opened.get(position)
    }

    pub fn iter(&self) -> impl Iterator<Item = &RegionState> {
        self.list.iter()
    }
}
