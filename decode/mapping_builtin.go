package decode

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

//go:embed mappings/*.yaml
var mappings embed.FS

// Mappings returns the names of the mappings that come with the program, in the
// order of the alphabet.
func Mappings() []string {
	files, err := fs.Glob(mappings, "mappings/*.yaml")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(strings.TrimPrefix(f, "mappings/"), ".yaml"))
	}
	return names
}

// LoadMapping reads the mapping that comes with the program under the name, or
// else the one in the file of that path (./github for a file named as one that
// comes with the program).
func LoadMapping(nameOrPath string) (*Mapping, error) {
	for _, name := range Mappings() {
		if name != nameOrPath {
			continue
		}
		data, err := mappings.ReadFile("mappings/" + name + ".yaml")
		if err != nil {
			return nil, err
		}
		return ParseMapping(name+".yaml", data)
	}
	data, err := os.ReadFile(nameOrPath)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("mapping %q is neither a file nor one that comes with the program: expected a path, or one of %s",
			nameOrPath, strings.Join(Mappings(), ", "))
	}
	if err != nil {
		return nil, fmt.Errorf("reading the mapping: %w", err)
	}
	return ParseMapping(nameOrPath, data)
}
