// Creates a workspace, follows its run, freezes it, exports it and deletes it, with a client generated from openapi.yaml.
// Takes BERTH_URL, BERTH_TOKEN and BERTH_ACCOUNT_ID from the environment.
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"

	"example.com/berth-walkthrough/berth"
	"github.com/google/uuid"
)

func setting(name string) string {
	value := os.Getenv(name)
	if value == "" {
		log.Fatalf("%s is not set: source dev.env first", name)
	}
	return value
}

// must ends the program unless the answer is what was asked for.
func must(err error, wanted int, response *http.Response, body []byte) {
	if err != nil {
		log.Fatal(err)
	}
	if response.StatusCode != wanted {
		log.Fatalf("%s: %s", response.Status, body)
	}
}

func main() {
	ctx := context.Background()
	authorize := func(_ context.Context, request *http.Request) error {
		request.Header.Set("Authorization", "Bearer "+setting("BERTH_TOKEN"))
		return nil
	}
	client, err := berth.NewClientWithResponses(setting("BERTH_URL"), berth.WithRequestEditorFn(authorize))
	if err != nil {
		log.Fatal(err)
	}

	// Create: the key makes it safe to send the request again, whatever happened to the first answer.
	key := uuid.NewString()
	created, err := client.CreateWorkspaceWithResponse(ctx, &berth.CreateWorkspaceParams{IdempotencyKey: &key},
		berth.CreateWorkspaceJSONRequestBody{AccountId: uuid.MustParse(setting("BERTH_ACCOUNT_ID")), Name: "Go walkthrough", Region: "local"})
	must(err, http.StatusAccepted, created.HTTPResponse, created.Body)
	id := created.JSON202.WorkspaceId
	fmt.Printf("workspace %s, run %s\n", id, created.JSON202.ProvisioningRunId)

	// Follow: a long poll answers when the run has moved on from the version that the ETag names.
	wait := "30s"
	var etag *string
	for {
		answer, err := client.GetProvisioningRunWithResponse(ctx, created.JSON202.ProvisioningRunId,
			&berth.GetProvisioningRunParams{Wait: &wait, IfNoneMatch: etag})
		if err == nil && answer.StatusCode() == http.StatusNotModified {
			continue
		}
		must(err, http.StatusOK, answer.HTTPResponse, answer.Body)
		seen, run := answer.HTTPResponse.Header.Get("ETag"), answer.JSON200
		etag = &seen
		fmt.Printf("run is %s, %d of %d steps\n", run.State, run.Progress.Done, run.Progress.Total)
		if run.Terminal {
			if run.State != "succeeded" {
				log.Fatalf("the run %s", run.State)
			}
			break
		}
	}

	// Freeze: 200 means that no change gets through any more.
	freeze := strings.NewReader(`{"status": "frozen", "reason": {"code": "walkthrough", "note": "to see it"}}`)
	frozen, err := client.ChangeWorkspaceStatusWithBodyWithResponse(ctx, id, &berth.ChangeWorkspaceStatusParams{}, "application/json", freeze)
	must(err, http.StatusOK, frozen.HTTPResponse, frozen.Body)
	fmt.Printf("workspace is %s by %s\n", frozen.JSON200.Status, frozen.JSON200.Freezes[0].Source)

	// Export: the receipt proves that what arrived is all of it.
	format := berth.ExportWorkspaceParamsFormat("ndjson")
	// The generated parser reads every answer as JSON; the call without it gives NDJSON as it comes.
	exported, err := client.ExportWorkspace(ctx, id, &berth.ExportWorkspaceParams{Format: &format})
	if err != nil {
		log.Fatal(err)
	}
	defer exported.Body.Close()
	records, err := io.ReadAll(exported.Body)
	must(err, http.StatusOK, exported, records)
	receipt, err := client.GetExportWithResponse(ctx, uuid.MustParse(exported.Header.Get("Export-Id")), &berth.GetExportParams{})
	must(err, http.StatusOK, receipt.HTTPResponse, receipt.Body)
	digest := sha256.Sum256(records)
	if !receipt.JSON200.Complete || receipt.JSON200.Sha256 == nil || *receipt.JSON200.Sha256 != hex.EncodeToString(digest[:]) {
		log.Fatal("the export is not complete")
	}
	fmt.Printf("exported %d rows, %d bytes, digest checked\n", receipt.JSON200.Rows, receipt.JSON200.Bytes)

	// Delete: only what we have seen.
	seen, err := client.GetWorkspaceWithResponse(ctx, id, &berth.GetWorkspaceParams{})
	must(err, http.StatusOK, seen.HTTPResponse, seen.Body)
	tag := seen.HTTPResponse.Header.Get("ETag")
	deleted, err := client.DeleteWorkspaceWithResponse(ctx, id, &berth.DeleteWorkspaceParams{IfMatch: tag})
	must(err, http.StatusOK, deleted.HTTPResponse, deleted.Body)
	fmt.Printf("workspace is %s\n", deleted.JSON200.Status)
}
