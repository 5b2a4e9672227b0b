//! The names of an instance's database and role.

use std::collections::HashSet;

use super::InstanceId;
use uuid::Uuid;

/// What all our databases and roles begin with.
pub const PREFIX: &str = "odoo_";

/// The names of one allocation: lower-case letters, digits and `_`, at most 63 bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    pub database: String,
    pub role: String,
}

/// `odoo_<customer hex, first 16>_<instance hex, first 8>`, and the role with `_user` behind it. Where another
/// instance has that name already, more of the instance's digits are taken, so that no two ever share one.
///
/// The longest role has 5 + 16 + 1 + 32 + 5 = 59 bytes, and PostgreSQL keeps 63.
pub fn choose(customer: Uuid, instance: InstanceId, taken: &HashSet<String>) -> Names {
    let customer = &customer.simple().to_string()[..16];
    let digits = instance.0.simple().to_string();
    let name = |length: usize| format!("{PREFIX}{customer}_{}", &digits[..length]);
    let free = (8..digits.len()).map(name).find(|name| !taken.contains(name));
    let database = free.unwrap_or_else(|| name(digits.len()));
    Names { role: format!("{database}_user"), database }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn uuid(text: &str) -> Uuid {
        Uuid::parse_str(text).unwrap()
    }

    #[test]
    fn a_name_is_made_of_customer_and_instance() {
        let customer = uuid("d425c7f2-57b1-439f-8000-000000000002");
        let instance = InstanceId(uuid("fbaa8c92-0000-4000-8000-000000000001"));
        let names = choose(customer, instance, &HashSet::new());
        assert_eq!(names.database, "odoo_d425c7f257b1439f_fbaa8c92");
        assert_eq!(names.role, "odoo_d425c7f257b1439f_fbaa8c92_user");
    }

    #[test]
    fn a_name_that_is_taken_is_lengthened() {
        let customer = uuid("d425c7f2-57b1-439f-8000-000000000002");
        let first = InstanceId(uuid("fbaa8c92-0000-4000-8000-000000000001"));
        let second = InstanceId(uuid("fbaa8c92-0100-4000-8000-000000000001"));
        let taken = HashSet::from([choose(customer, first, &HashSet::new()).database]);
        let names = choose(customer, second, &taken);
        assert_eq!(names.database, "odoo_d425c7f257b1439f_fbaa8c920");
        let all: HashSet<String> = (8..32)
            .map(|length| format!("odoo_d425c7f257b1439f_{}", &second.0.simple().to_string()[..length]))
            .collect();
        let longest = choose(customer, second, &all);
        assert_eq!(longest.database, "odoo_d425c7f257b1439f_fbaa8c92010040008000000000000001");
        assert!(longest.role.len() <= 63);
    }
}
