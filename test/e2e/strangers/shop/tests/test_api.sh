sh -n api/app.sh
