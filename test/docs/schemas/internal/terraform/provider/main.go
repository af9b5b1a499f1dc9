// Command provider is a provider of Terraform that can plan the resources of
// package terraform, and nothing else. Its own file name says whose it is:
// terraform-provider-google or terraform-provider-random.
package main

import (
	"context"
	"log"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/hashicorp/terraform-plugin-framework/datasource"
	"github.com/hashicorp/terraform-plugin-framework/provider"
	providerschema "github.com/hashicorp/terraform-plugin-framework/provider/schema"
	"github.com/hashicorp/terraform-plugin-framework/providerserver"
	"github.com/hashicorp/terraform-plugin-framework/resource"
	"github.com/hashicorp/terraform-plugin-framework/resource/schema"
	"github.com/hashicorp/terraform-plugin-framework/types"

	"github.com/pillion-lb/pillion/test/docs/schemas/internal/terraform"
)

func main() {
	name := strings.TrimPrefix(filepath.Base(os.Args[0]), "terraform-provider-")
	options := providerserver.ServeOpts{Address: "registry.terraform.io/hashicorp/" + name}
	err := providerserver.Serve(context.Background(), func() provider.Provider { return cloud(name) }, options)
	if err != nil {
		log.Fatal(err)
	}
}

// cloud is a provider by its name.
type cloud string

func (c cloud) Metadata(_ context.Context, _ provider.MetadataRequest, resp *provider.MetadataResponse) {
	resp.TypeName = string(c)
}

func (c cloud) Schema(_ context.Context, _ provider.SchemaRequest, resp *provider.SchemaResponse) {
	if c == "google" {
		resp.Schema.Attributes = map[string]providerschema.Attribute{
			"project": providerschema.StringAttribute{Optional: true},
			"region":  providerschema.StringAttribute{Optional: true},
		}
	}
}

func (c cloud) Configure(context.Context, provider.ConfigureRequest, *provider.ConfigureResponse) {}

func (c cloud) DataSources(context.Context) []func() datasource.DataSource { return nil }

func (c cloud) Resources(context.Context) []func() resource.Resource {
	var all []func() resource.Resource
	for _, name := range slices.Sorted(maps.Keys(terraform.Resources)) {
		if strings.HasPrefix(name, string(c)+"_") {
			all = append(all, func() resource.Resource { return planned(name) })
		}
	}

	return all
}

// planned is a resource by its type, which is planned and never made.
type planned string

func (p planned) Metadata(_ context.Context, _ resource.MetadataRequest, resp *resource.MetadataResponse) {
	resp.TypeName = string(p)
}

func (p planned) Schema(_ context.Context, _ resource.SchemaRequest, resp *resource.SchemaResponse) {
	b := terraform.Resources[string(p)]
	resp.Schema = schema.Schema{Attributes: attributes(b), Blocks: blocks(b)}
}

func attributes(b terraform.Block) map[string]schema.Attribute {
	all := map[string]schema.Attribute{}
	for name, kind := range b.Required {
		all[name] = attribute(kind, true)
	}
	for name, kind := range b.Optional {
		all[name] = attribute(kind, false)
	}
	for _, name := range b.Computed {
		all[name] = schema.StringAttribute{Computed: true}
	}

	return all
}

func attribute(kind terraform.Kind, required bool) schema.Attribute {
	switch kind {
	case terraform.Number:
		return schema.NumberAttribute{Required: required, Optional: !required}
	case terraform.Bool:
		return schema.BoolAttribute{Required: required, Optional: !required}
	case terraform.Strings:
		return schema.ListAttribute{Required: required, Optional: !required, ElementType: types.StringType}
	case terraform.Map:
		return schema.MapAttribute{Required: required, Optional: !required, ElementType: types.StringType}
	default:
		return schema.StringAttribute{Required: required, Optional: !required}
	}
}

func blocks(b terraform.Block) map[string]schema.Block {
	all := map[string]schema.Block{}
	for name, inner := range b.Blocks {
		object := schema.NestedBlockObject{Attributes: attributes(inner), Blocks: blocks(inner)}
		all[name] = schema.ListNestedBlock{NestedObject: object}
	}

	return all
}

func (p planned) Create(_ context.Context, _ resource.CreateRequest, resp *resource.CreateResponse) {
	resp.Diagnostics.AddError("nothing is made", "this provider only plans")
}

func (p planned) Read(context.Context, resource.ReadRequest, *resource.ReadResponse) {}

func (p planned) Update(context.Context, resource.UpdateRequest, *resource.UpdateResponse) {}

func (p planned) Delete(context.Context, resource.DeleteRequest, *resource.DeleteResponse) {}
