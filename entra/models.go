package entra

import (
	"slices"
	"strings"

	"github.com/fidokey/fidokey/ctap2"
)

// Named returns Microsoft's own authenticators of a name, with "Microsoft" or without:
// those of a product, as "Windows Hello", or one, as "Windows Hello (VBS)".
func Named(name string) (models []ctap2.AAGUID) {
	plain := func(s string) string {
		s = strings.NewReplacer("(", " ", ")", " ").Replace(strings.ToLower(s))
		return strings.TrimPrefix(strings.Join(strings.Fields(s), " "), "microsoft ")
	}
	for id, m := range own {
		product, _, _ := strings.Cut(m.name, " (")
		if plain(name) != plain(product) && plain(name) != plain(m.name) {
			continue
		}
		if a, err := ctap2.ParseAAGUID(id); err == nil {
			models = append(models, a)
		}
	}
	slices.SortFunc(models, func(a, b ctap2.AAGUID) int { return strings.Compare(a.String(), b.String()) })
	return models
}

// Names returns the names that Named knows.
func Names() (names []string) {
	for _, m := range own {
		product, _, _ := strings.Cut(m.name, " (")
		names = append(names, product, m.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}
