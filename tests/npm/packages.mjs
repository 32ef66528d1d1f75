// What a clean-up script does with Octokit: list, page, delete, restore. Prints one JSON document.
// node packages.mjs MODULES API TOKEN OWNER PACKAGE
import { pathToFileURL } from "node:url";

const [modules, baseUrl, auth, org, package_name] = process.argv.slice(2);
const { Octokit } = await import(pathToFileURL(`${modules}/@octokit/rest/dist-src/index.js`));
const silent = { debug() {}, info() {}, warn() {}, error() {} };
const octokit = new Octokit({ auth, baseUrl, log: silent });
const about = { package_type: "container", org, package_name };

/** The value of a call, or the status it was refused with. */
async function tried(call) {
  try {
    return await call();
  } catch (error) {
    return error.status ?? String(error);
  }
}

const packages = octokit.rest.packages;
const versions = await tried(() =>
  octokit.paginate(packages.getAllPackageVersionsForPackageOwnedByOrg, { ...about, per_page: 50 }),
);
const known = Number(process.env.VERSION);
const version = { ...about, package_version_id: known };
console.log(
  JSON.stringify({
    list: await tried(async () =>
      (await octokit.paginate(packages.listPackagesForOrganization, { package_type: "container", org })).length,
    ),
    get: await tried(async () => (await packages.getPackageForOrganization(about)).status),
    versions: Array.isArray(versions) ? versions.length : versions,
    distinct: Array.isArray(versions) ? new Set(versions.map((one) => one.id)).size : 0,
    delete: await tried(async () => (await packages.deletePackageVersionForOrg(version)).status),
    restore: await tried(async () => (await packages.restorePackageVersionForOrg(version)).status),
    deletePackage: await tried(async () => (await packages.deletePackageForOrg(about)).status),
    restorePackage: await tried(async () => (await packages.restorePackageForOrg(about)).status),
  }),
);
