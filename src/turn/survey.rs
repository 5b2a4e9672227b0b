//! What whoever looks over HTTP is shown: the plan and the status, from one moment.

use super::World;
use super::inventory::Inventory;
use super::status::Status;
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
        let inventory = self.inventory(Inventory::KEPT).await.map(|(inventory, _)| inventory);
        let (environment, catalog) = (self.guard.environment().to_string(), self.database.catalog().to_string());
        Survey { environment, catalog, driver: self.database.driver(), status, inventory }
    }
}
