pub struct PostgresConfig;
pub struct PostgresStore;
