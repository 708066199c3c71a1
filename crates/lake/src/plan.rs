//! From a statement to SQL that SQLite may run, and to the columns that it needs.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use sqlparser::ast::{Expr, Query};

use crate::column::Column;
use crate::schema::{Kind, Schema};
use crate::{clause, statement};

/// Expressions in one statement.
const NODES_MAX: usize = 5_000;
/// `SELECT`s in one statement.
const SELECTS_MAX: usize = 16;

/// The statement is refused. The words after the code are what `InvalidQueryStatementException` says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QueryError {
    #[error("the query statement is longer than {0} characters")]
    TooLong(usize),
    #[error("the query statement is nested too deeply")]
    TooDeep,
    #[error("the query statement is too complex")]
    TooComplex,
    #[error("the query statement is not valid SQL: {0}")]
    Syntax(String),
    #[error("only `SELECT` statements are allowed")]
    NotSelect,
    #[error("a query is one statement")]
    ManyStatements,
    #[error("{0} is not supported")]
    Unsupported(&'static str),
    #[error("the event data store `{0}` does not exist")]
    UnknownStore(String),
    #[error("column `{0}` cannot be resolved")]
    UnknownColumn(String),
    #[error("column `{0}` is ambiguous")]
    AmbiguousColumn(String),
    #[error("function `{0}` is not registered")]
    UnknownFunction(String),
    #[error("unexpected number of parameters for function `{0}`")]
    ArgumentCount(String),
    #[error("unexpected parameter for function `{function}`: {problem}")]
    Argument { function: String, problem: &'static str },
    #[error("cannot apply operator: {left} {operator} {right}")]
    Operator { left: &'static str, operator: String, right: &'static str },
    #[error("`{0}` must be an aggregate expression or appear in the GROUP BY clause")]
    NotGrouped(String),
    #[error("aggregate functions cannot stand in {0}")]
    MisplacedAggregate(&'static str),
    #[error("a join needs an equality between a column of each side")]
    CartesianJoin,
    #[error("the sides of {0} have different numbers of columns")]
    SetWidth(&'static str),
    #[error("the query has more parameters than values were given")]
    ParameterMissing,
    #[error("the query has fewer parameters than values were given")]
    ParameterLeft,
    #[error("the literal `{0}` is not valid")]
    Literal(String),
    #[error("the query names no event data store")]
    NoStore,
}

/// A column of the answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputColumn {
    pub name: String,
    pub kind: Kind,
}

/// What a query needs of one event data store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Source {
    pub columns: BTreeSet<Column>,
    /// Events before this time do not matter, milliseconds since 1970.
    pub from_ms: Option<i64>,
    /// Events after this time do not matter.
    pub to_ms: Option<i64>,
}

/// A query that may run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    pub columns: Vec<OutputColumn>,
    /// By id of the event data store.
    pub sources: BTreeMap<String, Source>,
    pub(crate) sql: String,
    /// Counts the events that the query's condition holds for, where it is a query of one store.
    pub(crate) matched_sql: Option<String>,
}

impl Plan {
    /// What SQLite is given, for a reviewer.
    pub fn sql(&self) -> &str {
        &self.sql
    }
}

/// Plans a statement over the stores that the caller has. `parameters` take the place of `?`; `now_ms` is what `now()` says.
#[expect(clippy::implicit_hasher, reason = "one kind of map is enough for callers")]
pub fn plan(text: &str, parameters: &[String], stores: &HashMap<String, Schema>, now_ms: i64) -> Result<Plan, QueryError> {
    let query = statement::parse(text)?;
    let mut planner = Planner::new(parameters, stores, now_ms);
    let (sql, columns) = clause::query(&mut planner, &query)?;
    if planner.used < parameters.len() {
        return Err(QueryError::ParameterLeft);
    }
    if planner.sources.is_empty() {
        return Err(QueryError::NoStore);
    }
    let matched_sql = planner.matched_sql.take().filter(|_| planner.selects == 1);
    if let (1, Some((from_ms, to_ms))) = (planner.selects, planner.range) {
        for source in planner.sources.values_mut() {
            (source.from_ms, source.to_ms) = (from_ms, to_ms);
        }
    }
    Ok(Plan { columns, sources: planner.sources, sql, matched_sql })
}

/// Ids of the event data stores that a statement names, in order of first use; names of its own `WITH` tables are not among them.
pub fn stores_of(text: &str) -> Result<Vec<String>, QueryError> {
    let query = statement::parse(text)?;
    let mut found = Vec::new();
    clause::store_names(&query, &mut found);
    Ok(found)
}

/// A relation in a `FROM`.
#[derive(Clone, Debug)]
pub(crate) struct Relation {
    /// As expressions name it, in lower case.
    pub alias: String,
    pub content: Content,
}

#[derive(Clone, Debug)]
pub(crate) enum Content {
    Store { id: String, schema: Schema },
    Rows(Vec<OutputColumn>),
}

/// What names mean where an expression stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    pub relations: Vec<Relation>,
    /// Output columns by their names, for `ORDER BY`.
    pub outputs: Vec<OutputColumn>,
}

/// State of one planning.
pub(crate) struct Planner<'a> {
    pub stores: &'a HashMap<String, Schema>,
    pub now_ms: i64,
    pub sources: BTreeMap<String, Source>,
    /// Tables of `WITH`, innermost last.
    pub tables: Vec<(String, Vec<OutputColumn>)>,
    pub matched_sql: Option<String>,
    pub range: Option<(Option<i64>, Option<i64>)>,
    pub selects: usize,
    /// Columns that stand outside aggregates and grouped expressions.
    pub loose: Vec<String>,
    /// Grouped expressions of the `SELECT` that is being planned.
    pub groups: Vec<String>,
    /// Aggregates seen so far.
    pub aggregates: usize,
    /// Whether aggregates may stand here.
    pub allows_aggregates: bool,
    parameters: &'a [String],
    used: usize,
    nodes: usize,
}

impl<'a> Planner<'a> {
    fn new(parameters: &'a [String], stores: &'a HashMap<String, Schema>, now_ms: i64) -> Self {
        Self {
            stores,
            now_ms,
            sources: BTreeMap::new(),
            tables: Vec::new(),
            matched_sql: None,
            range: None,
            selects: 0,
            loose: Vec::new(),
            groups: Vec::new(),
            aggregates: 0,
            allows_aggregates: false,
            parameters,
            used: 0,
            nodes: 0,
        }
    }

    pub(crate) fn count_node(&mut self) -> Result<(), QueryError> {
        self.nodes += 1;
        if self.nodes > NODES_MAX { Err(QueryError::TooComplex) } else { Ok(()) }
    }

    pub(crate) fn count_select(&mut self) -> Result<(), QueryError> {
        self.selects += 1;
        if self.selects > SELECTS_MAX { Err(QueryError::TooComplex) } else { Ok(()) }
    }

    pub(crate) fn next_parameter(&mut self) -> Result<&'a str, QueryError> {
        let value = self.parameters.get(self.used).ok_or(QueryError::ParameterMissing)?;
        self.used += 1;
        Ok(value)
    }

    /// Notes that a store's column is needed and gives its name in the table.
    pub(crate) fn need(&mut self, store: &str, column: Column) -> String {
        let name = identifier(&column.name);
        self.sources.entry(store.to_owned()).or_default().columns.insert(column);
        name
    }

    /// Plans something that has names of its own, and comes back to the state of before.
    pub(crate) fn inner(&mut self, query: &Query) -> Result<(String, Vec<OutputColumn>), QueryError> {
        let loose = std::mem::take(&mut self.loose);
        let groups = std::mem::take(&mut self.groups);
        let (aggregates, allows) = (self.aggregates, self.allows_aggregates);
        let planned = clause::query(self, query);
        self.loose = loose;
        self.groups = groups;
        (self.aggregates, self.allows_aggregates) = (aggregates, allows);
        planned
    }
}

/// A name for SQLite.
pub(crate) fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text for SQLite.
pub(crate) fn literal(text: &str) -> Result<String, QueryError> {
    if text.contains('\0') {
        return Err(QueryError::Literal(text.replace('\0', "\\0")));
    }
    Ok(format!("'{}'", text.replace('\'', "''")))
}

/// The conditions that `AND` joins.
pub(crate) fn conjuncts(expr: &Expr) -> Vec<&Expr> {
    let mut open = vec![expr];
    let mut found = Vec::new();
    while let Some(next) = open.pop() {
        match next {
            Expr::BinaryOp { left, op: sqlparser::ast::BinaryOperator::And, right } => open.extend([left.as_ref(), right.as_ref()]),
            Expr::Nested(inner) => open.push(inner),
            other => found.push(other),
        }
    }
    found
}
