package store

import (
	_ "embed" // for the statements of the role
	"strings"
)

//go:embed reader.sql
var readerRole string

// ReaderRole returns the statements that make the role overreach_reader, which
// reads and cannot take what ingest needs, for a database and, where it is not
// empty, a cluster. They are for an administrator to run: the program's own user
// has no need of the right to make roles.
func ReaderRole(database, cluster string) string {
	return strings.NewReplacer("{database}", quoteName(database), "{cluster}", onCluster(cluster)).Replace(readerRole)
}
