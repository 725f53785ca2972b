//! The SQLite of a Durable Object.

use serde::de::DeserializeOwned;
use worker::{SqlStorage, SqlStorageValue};

use crate::error::ApiError;

/// The database of an object.
#[derive(Debug, Clone)]
pub struct Database(SqlStorage);

impl Database {
    /// Opens the database, and creates what `schema` creates if it does not exist.
    pub fn open(sql: SqlStorage, schema: &str) -> Result<Self, ApiError> {
        sql.exec(schema, None)?;
        Ok(Self(sql))
    }

    /// The rows that a statement returns.
    pub fn rows<T: DeserializeOwned>(
        &self,
        statement: &str,
        bindings: Vec<SqlStorageValue>,
    ) -> Result<Vec<T>, ApiError> {
        Ok(self.0.exec(statement, bindings)?.to_array()?)
    }

    /// Runs a statement that returns no rows.
    pub fn run(&self, statement: &str, bindings: Vec<SqlStorageValue>) -> Result<(), ApiError> {
        self.0.exec(statement, bindings)?;
        Ok(())
    }
}

/// A time as a value. JavaScript's numbers hold every millisecond of the next 280 000 years.
pub fn ms(ms: u64) -> SqlStorageValue {
    SqlStorageValue::Integer(i64::try_from(ms).unwrap_or(i64::MAX))
}
