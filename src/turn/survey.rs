//! What whoever looks over HTTP is shown: the plan and the status, from one moment.

use super::inventory::Inventory;
use super::status::Status;
use super::{Request, World};
use crate::failure::Result;

/// One picture of everything. The parts fail each for itself: of files with problems there is a status, and no plan.
pub struct Survey {
    pub environment: String,
    pub catalog: String,
    pub driver: &'static str,
    pub status: Result<Status>,
    pub inventory: Result<Inventory>,
}

impl World {
    /// Looks at everything, and writes nothing anywhere. Takes as much memory as a turn while it is made.
    pub async fn survey(&self) -> Survey {
        let status = self.status().await;
        let known = status.as_ref().ok().and_then(|status| status.known.as_ref());
        let suspensions = known.map(|known| known.suspensions.as_slice()).unwrap_or_default();
        let planned = self.preview(&Request::everything()).await;
        let inventory = planned.map(|planned| Inventory::new(planned.plan, planned.wanted, suspensions));
        let (environment, catalog) = (self.guard.environment().to_string(), self.database.catalog().to_string());
        Survey { environment, catalog, driver: self.database.driver(), status, inventory }
    }
}
