//! The size of a sandbox.

use serde::{Deserialize, Serialize};
use serde_json::{Number, Value, json};

use crate::Invalid;
use crate::json::whole;

/// The names of the platform's sizes.
pub(super) const NAMES: [&str; 6] = [
    "lite",
    "basic",
    "standard-1",
    "standard-2",
    "standard-3",
    "standard-4",
];

/// The size of a sandbox: a name of the platform, or numbers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Value", into = "Value")]
pub enum Instance {
    /// One of the platform's sizes.
    Named(String),
    /// A size of its own.
    Custom {
        /// Virtual processors.
        vcpu: Number,
        /// Memory, in MiB.
        memory_mib: u64,
        /// Disk, in MB.
        disk_mb: u64,
    },
}

impl TryFrom<Value> for Instance {
    type Error = Invalid;

    fn try_from(value: Value) -> Result<Self, Invalid> {
        let positive = |name: &str| value.get(name).and_then(whole).filter(|number| *number > 0);
        let vcpu = || match value.get("vcpu")? {
            Value::Number(vcpu) if vcpu.as_f64()? > 0.0 => Some(vcpu.clone()),
            _ => None,
        };
        let custom = || {
            Some(Self::Custom {
                vcpu: vcpu()?,
                memory_mib: positive("memoryMib")?,
                disk_mb: positive("diskMb")?,
            })
        };
        let named = value.as_str().filter(|name| NAMES.contains(name));
        named
            .map(|name| Self::Named(name.to_owned()))
            .or_else(custom)
            .ok_or_else(|| {
                let names = NAMES.join(", ");
                Invalid::request(format!(
                    "instance must be one of {names}, or {{\"vcpu\", \"memoryMib\", \"diskMb\"}}"
                ))
            })
    }
}

impl From<Instance> for Value {
    fn from(instance: Instance) -> Self {
        match instance {
            Instance::Named(name) => name.into(),
            Instance::Custom {
                vcpu,
                memory_mib,
                disk_mb,
            } => json!({ "vcpu": vcpu, "memoryMib": memory_mib, "diskMb": disk_mb }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers() {
        for good in [
            json!("lite"),
            json!("standard-4"),
            json!({ "vcpu": 0.5, "memoryMib": 512, "diskMb": 2000 }),
        ] {
            let instance = Instance::try_from(good.clone()).unwrap();
            assert_eq!(Value::from(instance), good);
        }
        for bad in [
            json!("large"),
            json!(1),
            json!({}),
            json!({ "vcpu": 0, "memoryMib": 512, "diskMb": 2000 }),
            json!({ "vcpu": 1, "memoryMib": 512 }),
            json!({ "vcpu": 1, "memoryMib": 0.5, "diskMb": 2000 }),
        ] {
            let error = Instance::try_from(bad.clone()).unwrap_err();
            assert!(
                error.message().starts_with("instance must be one of lite"),
                "{bad}"
            );
        }
    }
}
