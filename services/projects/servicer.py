"""codelab.projects.v1 over gRPC."""

from typing import Any

import grpc
from codelab.projects.v1 import project_pb2, project_service_pb2, project_service_pb2_grpc

from services.projects.service import CREATE_SECONDS, ProjectService, UserService
from services.projects.store import Changes, Project, User
from services.runtime.auth import current_caller
from services.runtime.channels import timeout_within
from services.runtime.messages import timestamp
from services.runtime.validation import mask_paths

Context = grpc.aio.ServicerContext[Any, Any]


class ProjectServicer(project_service_pb2_grpc.ProjectServiceServicer):
    """ProjectService."""

    def __init__(self, users: UserService, projects: ProjectService) -> None:
        self._users = users
        self._projects = projects

    async def GetCurrentUser(
        self, request: project_service_pb2.GetCurrentUserRequest, context: Context
    ) -> project_service_pb2.GetCurrentUserResponse:
        caller = current_caller()
        user = await self._users.current(caller.user_id, caller.email)
        return project_service_pb2.GetCurrentUserResponse(user=_user(user))

    async def CreateProject(
        self, request: project_service_pb2.CreateProjectRequest, context: Context
    ) -> project_service_pb2.CreateProjectResponse:
        project = await self._projects.create(
            await self._user_id(),
            request.project.name,
            request.project.workspace_path if request.project.HasField("workspace_path") else None,
            request.request_id if request.HasField("request_id") else None,
            timeout_within(context, CREATE_SECONDS),
        )
        return project_service_pb2.CreateProjectResponse(project=_project(project))

    async def ListProjects(
        self, request: project_service_pb2.ListProjectsRequest, context: Context
    ) -> project_service_pb2.ListProjectsResponse:
        projects, total, token = await self._projects.list(await self._user_id(), request.page_size, request.page_token)
        return project_service_pb2.ListProjectsResponse(
            projects=[_project(each) for each in projects], total=total, next_page_token=token
        )

    async def GetProject(
        self, request: project_service_pb2.GetProjectRequest, context: Context
    ) -> project_service_pb2.GetProjectResponse:
        project = await self._projects.get(await self._user_id(), request.project_id)
        return project_service_pb2.GetProjectResponse(project=_project(project))

    async def UpdateProject(
        self, request: project_service_pb2.UpdateProjectRequest, context: Context
    ) -> project_service_pb2.UpdateProjectResponse:
        project = await self._projects.update(await self._user_id(), request.project_id, _changes(request))
        return project_service_pb2.UpdateProjectResponse(project=_project(project))

    async def DeleteProject(
        self, request: project_service_pb2.DeleteProjectRequest, context: Context
    ) -> project_service_pb2.DeleteProjectResponse:
        await self._projects.delete(await self._user_id(), request.project_id)
        return project_service_pb2.DeleteProjectResponse()

    async def _user_id(self) -> str:
        caller = current_caller()
        await self._users.admit(caller.user_id, caller.email)
        return caller.user_id


def _changes(request: project_service_pb2.UpdateProjectRequest) -> Changes:
    changed = mask_paths(request.update_mask, project_pb2.Project.DESCRIPTOR)
    changes: Changes = {}
    if "name" in changed:
        changes["name"] = request.project.name
    if "workspace_path" in changed:
        changes["workspace_path"] = (
            request.project.workspace_path if request.project.HasField("workspace_path") else None
        )
    return changes


def _project(project: Project) -> project_pb2.Project:
    return project_pb2.Project(
        id=project.id,
        user_id=project.user_id,
        name=project.name,
        workspace_path=project.workspace_path,
        created_at=timestamp(project.created_at),
        updated_at=timestamp(project.updated_at),
    )


def _user(user: User) -> project_pb2.User:
    return project_pb2.User(id=user.id, email=user.email, created_at=timestamp(user.created_at))
